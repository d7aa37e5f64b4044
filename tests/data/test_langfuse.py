"""Langfuse and LangSmith: scores of tables, and items of data sets."""

from data.conversions import judged, left_out
from data.format_samples import SAMPLES
from data.sample_texts import GOOD, QUESTION
from data.tool_samples import langfuse, langsmith


def test_expected_outputs_of_a_data_set_are_demonstrations() -> None:
    for tool in ("langfuse-items", "langsmith-examples"):
        assert judged(tool, SAMPLES[tool][0]) == [f"{QUESTION} / {GOOD}"]
    assert left_out("langfuse-items", SAMPLES["langfuse-items"][0] | {"status": "ARCHIVED"}) == [
        "archived items"
    ]


def test_scores_of_a_table_and_averages() -> None:
    assert judged("langfuse", langfuse() | {"scores": {"user-feedback": [1, 0]}}) == [
        (GOOD, True),
        (GOOD, False),
    ]
    undecided = langsmith(feedback_stats={"user_score": {"n": 2, "avg": 0.5}})
    assert left_out("langsmith", undecided) == ["scores that are not read as thumbs: user_score"]
