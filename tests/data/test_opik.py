"""Opik: traces without an answer are counted, and items of data sets are demonstrations."""

from data.conversions import judged, left_out
from data.format_samples import SAMPLES
from data.sample_texts import GOOD, QUESTION
from data.tool_samples import langsmith, langsmith_feedback, opik, opik_score


def test_traces_without_an_answer_are_counted() -> None:
    assert left_out("opik", opik(opik_score(1)) | {"output": None}) == ["traces without an answer"]
    assert left_out("langsmith", langsmith([langsmith_feedback(1)], error="timeout")) == ["runs that failed"]
    assert left_out("langsmith", langsmith([langsmith_feedback(1)], run_type="tool")) == [
        "runs of the type tool"
    ]


def test_expected_outputs_are_demonstrations() -> None:
    assert judged("opik-items", SAMPLES["opik-items"][0]) == [f"{QUESTION} / {GOOD}"]
