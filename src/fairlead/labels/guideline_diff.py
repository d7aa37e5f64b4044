"""Line-by-line comparison of two versions of the guidelines."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

DiffLine: TypeAlias = tuple[
    Literal["same", "added", "removed"], str
]  # of guidelines, compared with another version


@dataclass(frozen=True)
class GuidelineChange:
    """Lines of the guidelines that came or went."""

    kind: Literal["new", "gone"]
    text: str


def diff_lines(old: Sequence[str], new: Sequence[str]) -> list[DiffLine]:
    """Line by line; what was written anew, first as it was and then as it is."""
    lines: list[DiffLine] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [("same", text) for text in old[i:j]]
        else:
            lines += [("removed", text) for text in old[i:j]]
            lines += [("added", text) for text in new[k:m]]
    return lines


def list_guideline_changes(before: str, after: str) -> list[GuidelineChange]:
    """Line by line; blank lines do not count."""
    old, new = ([line.strip() for line in text.splitlines() if line.strip()] for text in (before, after))
    return [
        GuidelineChange("new" if what == "added" else "gone", line)
        for what, line in diff_lines(old, new)
        if what != "same"
    ]
