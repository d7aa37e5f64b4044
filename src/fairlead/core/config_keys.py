"""The keys of a configuration class: names, types, defaults and help, read from the class and from its
source.

A configuration is a frozen dataclass.  A field whose type is again a dataclass is a table: `optim: Optim =
Optim(lr=5e-5)` makes the keys `optim.lr`, `optim.warmup`, and so on.  Tables do not contain tables. The help
of a key is the comment beside its field, or on the lines above it.
"""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, get_origin, get_type_hints

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Ref:
    """Marks a field that names an input: an artifact of the project, a path, or something on the Hub."""

    kind: str


ModelRef = Annotated[str, Ref("model")]
RewardModelRef = Annotated[str, Ref("reward-model")]
DatasetRef = Annotated[str, Ref("dataset")]
RolloutsRef = Annotated[str, Ref("rollouts")]


class AdvancedMark:
    """Marks a key that `--help` leaves out and `--help-all` shows."""


# `warmup: Advanced[int] = 10`: a key that most users never need to set.
Advanced = Annotated[T, AdvancedMark()]


class Key(NamedTuple):
    table: str  # empty for a key of the recipe itself
    name: str
    type: str
    default: str | None  # as Python writes it; None: required
    help: str
    advanced: bool

    @property
    def full_name(self) -> str:
        return f"{self.table}.{self.name}" if self.table else self.name


def keys(config_class: type) -> list[Key]:
    """Every key: the recipe's own, required ones first, then those of each table in source order."""
    own: list[Key] = []
    in_tables: list[Key] = []
    hints = get_type_hints(config_class, include_extras=True)
    comments = _comments(config_class)
    table_classes = tables(config_class)
    for field in dataclasses.fields(config_class):
        if field.name in table_classes:
            in_tables += _table_keys(field.name, table_classes[field.name], default_of(field))
        else:
            own.append(_key("", field, hints[field.name], comments, default_of(field)))
    return sorted(own, key=lambda key: key.default is not None) + in_tables


def tables(config_class: type) -> dict[str, type]:
    """The fields that are tables: field name -> its dataclass."""
    hints = get_type_hints(config_class)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(config_class)
        if isinstance(hints[field.name], type) and dataclasses.is_dataclass(hints[field.name])
    }


def hints_by_key(config_class: type, *, with_marks: bool = True) -> dict[str, Any]:
    """Full key -> its type, with or without the marks of `Annotated`."""
    result: dict[str, Any] = {}
    table_classes = tables(config_class)
    for name, hint in get_type_hints(config_class, include_extras=with_marks).items():
        if name in table_classes:
            inner = get_type_hints(table_classes[name], include_extras=with_marks)
            result |= {f"{name}.{leaf}": leaf_hint for leaf, leaf_hint in inner.items()}
        else:
            result[name] = hint
    return result


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """The default value, or `dataclasses.MISSING` for a required field."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def marks(hint: Any) -> tuple[Any, ...]:
    """The marks of `Annotated[...]`, also inside `X | None` and `dict[X, Y]`."""
    result = tuple(getattr(hint, "__metadata__", ()))
    for argument in getattr(hint, "__args__", ()):
        result += marks(argument)
    return result


def _table_keys(table: str, table_class: type, recipe_default: Any) -> list[Key]:
    hints = get_type_hints(table_class, include_extras=True)
    comments = _comments(table_class)
    result = []
    for field in dataclasses.fields(table_class):
        has_default = recipe_default is not dataclasses.MISSING
        default = getattr(recipe_default, field.name) if has_default else default_of(field)
        result.append(_key(table, field, hints[field.name], comments, default))
    return result


def _key(
    table: str, field: "dataclasses.Field[Any]", hint: Any, comments: Mapping[str, str], default: Any
) -> Key:
    return Key(
        table,
        field.name,
        _type_name(hint),
        None if default is dataclasses.MISSING else repr(default),
        comments.get(field.name, ""),
        any(isinstance(mark, AdvancedMark) for mark in marks(hint)),
    )


def _comments(config_class: type) -> dict[str, str]:
    """Field -> the comment lines directly above it and the comment behind it, as one text."""
    result: dict[str, str] = {}
    above: list[str] = []
    classes = [cls for cls in reversed(config_class.__mro__) if dataclasses.is_dataclass(cls)]
    for line in (line for cls in classes for line in inspect.getsource(cls).splitlines()):
        if match := re.match(r"\s+(\w+)\s*:\s*[^#]*(?:#\s*(.*))?$", line):
            result[match[1]] = " ".join([*above, match[2] or ""]).strip()
            above = []
        elif match := re.match(r"\s+#\s*(.*)$", line):
            above.append(match[1])
        else:
            above = []
    return result


def _type_name(hint: Any) -> str:
    """`model`, `dataset`, ... for references; `float`, `8 | 32`, ... for the rest."""
    kind = next((mark.kind for mark in marks(hint) if isinstance(mark, Ref)), None)
    while get_origin(hint) is Annotated:
        hint = hint.__origin__
    if kind is not None:
        return f"table of {kind} = number" if get_origin(hint) is dict else kind
    text = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    if match := re.fullmatch(r"Literal\[(.*)\]", text):
        return match[1].replace("'", "").replace(", ", " | ")
    return text
