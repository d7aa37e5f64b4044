"""The source tree as files and syntax trees, for the architecture tests.  Nothing here imports Fairlead."""

import ast
import functools
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "fairlead"
RECIPES = tuple(sorted(path.stem for path in (SOURCE / "recipes").glob("*.py") if path.stem != "__init__"))


def modules(folder: Path = SOURCE) -> list[Path]:
    """Every Python file below the folder."""
    return sorted(folder.rglob("*.py"))


def short(path: Path) -> str:
    """As documents write it: `encoding/chat.py`."""
    return path.relative_to(SOURCE).as_posix()


def dotted(path: Path) -> str:
    """As Python writes it: `fairlead.model.encode`."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@functools.cache
def definitions(path: Path) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Every function, method and class of a file by its own name."""
    return {
        node.name: node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh Python that finds this checkout's Fairlead, whichever is installed."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
