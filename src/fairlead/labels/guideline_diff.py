"""Line-by-line comparison of two versions of the guidelines."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

DiffLine: TypeAlias = tuple[Literal["same", "added", "removed"], str]


@dataclass(frozen=True)
class GuidelineChange:
    """A line that a version of the guidelines added or removed."""

    kind: Literal["new", "gone"]
    text: str


def diff_lines(old: Sequence[str], new: Sequence[str]) -> list[DiffLine]:
    """Compare line by line.  A changed line appears as removed and then as added."""
    lines: list[DiffLine] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [("same", text) for text in old[i:j]]
        else:
            lines += [("removed", text) for text in old[i:j]]
            lines += [("added", text) for text in new[k:m]]
    return lines


def list_guideline_changes(before: str, after: str) -> list[GuidelineChange]:
    """Added and removed lines between two texts, ignoring blank lines and indentation."""
    old = [line.strip() for line in before.splitlines() if line.strip()]
    new = [line.strip() for line in after.splitlines() if line.strip()]
    return [
        GuidelineChange("new" if what == "added" else "gone", line)
        for what, line in diff_lines(old, new)
        if what != "same"
    ]
