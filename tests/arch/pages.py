"""Markdown as the tests of the documentation read it: sections, tables, code."""

import re
from pathlib import Path

from repository import ROOT


def documents() -> list[Path]:
    """Every page that is about Fairlead as it is; the log and the changelog tell of the past."""
    found = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(path for path in found if path.name != "log.md")


def sections(text: str, level: int = 2) -> dict[str, str]:
    """Heading of this level -> what stands below it, deeper headings included."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tables(text: str) -> list[list[list[str]]]:
    """Each table as rows of cells, without its head and the line below that."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.append(rows[2:])
            rows = []
    return found


def rows(text: str) -> list[list[str]]:
    return [row for table in tables(text) for row in table]


def spans(text: str) -> list[str]:
    """The words in single backticks, white space evened out; blocks of code are left out."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def names(cell: str) -> list[str]:
    """What a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)
