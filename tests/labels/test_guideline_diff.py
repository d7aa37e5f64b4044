"""Two versions of guidelines, compared line by line."""

import time

from fairlead.labels import guideline_diff
from fairlead.labels.guideline_diff import GuidelineChange


def test_guideline_changes_are_listed_by_line_within_a_second() -> None:
    before, after = "# Aim\n\nBe kind.\nBe brief.\n", "# Aim\nBe kind.\n\n  Be clear.\nSay why.\n"
    assert guideline_diff.list_guideline_changes(before, after) == [
        GuidelineChange("gone", "Be brief."),
        GuidelineChange("new", "Be clear."),
        GuidelineChange("new", "Say why."),
    ]
    old, new = (
        "\n".join(f"{word} number {n}: say what is so, and say it {n} times" for n in range(400))
        for word in ("Rule", "Advice")
    )
    began = time.process_time()
    assert len(guideline_diff.list_guideline_changes(old, new)) == 800
    old, new = "Same.\n" + "a\nb\n" * 2_000, "Same.\n" + "b\nc\na\n" * 2_000
    changes = guideline_diff.list_guideline_changes(old, new)
    assert [change.text for change in changes if change.kind == "gone"] == ["a", "b"] * 2_000
    assert time.process_time() - began < 1
