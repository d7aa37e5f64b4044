"""Load a few names of a module without running the rest of it.

A recipe's `Config` needs no torch, but the recipe does, and importing torch takes seconds.  `load_names`
reads the source of the recipe, selects the top-level statements that `Config` depends on, and executes only
those.  The result equals the imported module for these names.  Should a statement import torch after all, the
result is still right, and only slower.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType


def load_names(module: str, names: Iterable[str]) -> ModuleType:
    """A module object with these names of `module` and everything that they depend on."""
    names = tuple(names)
    label = f"{module}, only {', '.join(names)}"  # `inspect` and `typing` look the module up under this name
    if label in sys.modules:
        return sys.modules[label]
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, f"{module} is not a module of Fairlead"
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    loaded = ModuleType(label)
    loaded.__file__ = spec.origin
    needed = ast.Module(_needed(tree.body, names), type_ignores=[])
    sys.modules[label] = loaded
    try:
        exec(compile(needed, spec.origin, "exec"), loaded.__dict__)
    except BaseException:
        del sys.modules[label]
        raise
    return loaded


def _needed(statements: list[ast.stmt], names: Iterable[str]) -> list[ast.stmt]:
    """The statements that define the names, and those that define what these statements use, in the order of
    the source.
    """
    definitions = {name: statement for statement in statements for name in _defined(statement)}
    selected: set[str] = set()
    pending = [*names]
    while pending:
        name = pending.pop()
        if name in definitions and name not in selected:
            selected.add(name)
            if not isinstance(definitions[name], ast.Import | ast.ImportFrom):
                pending += _used(definitions[name])
    result: list[ast.stmt] = []
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            aliases = [alias for alias in statement.names if _bound_name(alias) in selected]
            if aliases:
                statement.names = aliases
                result.append(statement)
        elif selected.intersection(_defined(statement)):
            result.append(statement)
    return result


def _defined(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from map(_bound_name, aliases)
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Assign() | ast.AnnAssign():
            yield from (
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )


def _used(statement: ast.stmt) -> list[str]:
    """The names that the statement reads.

    A field called like an imported function does not need the function.
    """
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]


def _bound_name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]
