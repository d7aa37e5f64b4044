"""Line-by-line comparison of two versions of the guidelines."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypeAlias

MAX_COMPARED = 250_000  # pairs of lines; comparing takes up to the cube of the number of lines

DiffLine: TypeAlias = tuple[Literal["same", "added", "removed"], str]


@dataclass(frozen=True)
class GuidelineChange:
    """A line that a version of the guidelines added or removed."""

    kind: Literal["new", "gone"]
    text: str


def diff_lines(old: Sequence[str], new: Sequence[str]) -> list[DiffLine]:
    """Compare line by line.  A changed line appears as removed and then as added.

    Of long texts, only what lies between their equal beginnings and ends is compared; if that is still too
    long, all of it counts as changed.
    """
    if len(old) * len(new) > MAX_COMPARED:
        first = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
        rest_old, rest_new = old[first:], new[first:]
        ends = zip(reversed(rest_old), reversed(rest_new), strict=False)
        last = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], ends))
        middle_old, middle_new = rest_old[: len(rest_old) - last], rest_new[: len(rest_new) - last]
        if len(middle_old) * len(middle_new) > MAX_COMPARED:
            middle = _replaced(middle_old, middle_new)
        else:
            middle = diff_lines(middle_old, middle_new)
        return [*_same(old[:first]), *middle, *_same(rest_old[len(rest_old) - last :])]
    lines: list[DiffLine] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        lines += _same(old[i:j]) if tag == "equal" else _replaced(old[i:j], new[k:m])
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


def _same(lines: Sequence[str]) -> list[DiffLine]:
    return [("same", text) for text in lines]


def _replaced(old: Sequence[str], new: Sequence[str]) -> list[DiffLine]:
    return [*(("removed", text) for text in old), *(("added", text) for text in new)]
