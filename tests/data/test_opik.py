"""Opik: traces without an answer are counted."""

from data.conversions import left_out
from data.format_samples import (
    langsmith,
    langsmith_feedback,
    opik,
    opik_score,
)


def test_traces_without_an_answer_are_counted() -> None:
    assert left_out("opik", opik(opik_score(1)) | {"output": None}) == ["traces without an answer"]
    assert left_out("langsmith", langsmith([langsmith_feedback(1)], error="timeout")) == ["runs that failed"]
    assert left_out("langsmith", langsmith([langsmith_feedback(1)], run_type="tool")) == [
        "runs of the type tool"
    ]
