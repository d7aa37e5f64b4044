"""Summaries: choices count from 0, marks go from 1 to 7."""

from typing import Any

from data.conversions import converted, judged, problem
from data.format_samples import SAMPLES
from data.sample_texts import Row


def only(format: str, row: Row | None = None) -> Any:
    (record,) = converted(format, row or SAMPLES[format][0])
    return record


def test_the_choice_among_summaries_counts_from_0() -> None:
    row = SAMPLES["summarize-feedback"][0]
    assert judged("summarize-feedback", row) == [("Boiled an egg too long.", "Eggs.")]
    assert judged("summarize-feedback", row | {"choice": 0}) == [("Eggs.", "Boiled an egg too long.")]
    comparison = only("summarize-feedback")
    assert comparison.prompt[0].content == (
        "SUBREDDIT: r/cooking\nTITLE: My egg\nPOST: I boiled an egg for an hour and now it is grey.\nTL;DR:"
    )
    assert comparison.rater == "ikNmucwunMnYJCQpnq6Z"
    assert comparison.metadata["extra"] == {"confidence": 8}
    assert problem("summarize-feedback", row | {"choice": 2}).startswith("choice: 2: does not name an answer")


def test_marks_of_a_summary_go_from_1_to_7() -> None:
    row = SAMPLES["summarize-feedback"][1]
    assert judged("summarize-feedback", row) == [
        ("Eggs.", {"overall": 0.0, "accuracy": 1.0, "coverage": 0.5})
    ]
    summary = row["summary"] | {"axes": {"overall": 8}}
    assert "axes.overall: 8: is not a mark" in problem("summarize-feedback", row | {"summary": summary})
