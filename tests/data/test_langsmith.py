"""LangSmith: feedback on runs, averages of it, and the columns of a table."""

from data.conversions import judged, left_out
from data.sample_texts import GOOD, QUESTION
from data.tool_samples import langsmith, langsmith_feedback


def test_an_average_counts_where_all_agree() -> None:
    assert judged("langsmith", langsmith(feedback_stats={"user_score": {"n": 2, "avg": 1.0}})) == [
        (GOOD, True)
    ]
    undecided = langsmith(feedback_stats={"user_score": {"n": 2, "avg": 0.5}})
    assert left_out("langsmith", undecided) == ["scores that are not read as thumbs: user_score"]


def test_the_columns_of_a_table_are_feedback() -> None:
    row = {
        "inputs": {"question": QUESTION},
        "outputs": {"output": GOOD},
        "run_type": "chain",
        "feedback.user_score": 0.0,
    }
    assert judged("langsmith", row) == [(GOOD, False)]


def test_runs_that_are_no_answers_are_counted() -> None:
    thumb = [langsmith_feedback(1)]
    assert left_out("langsmith", langsmith(thumb, error="timeout")) == ["runs that failed"]
    assert left_out("langsmith", langsmith(thumb, run_type="tool")) == ["runs of the type tool"]
    assert left_out("langsmith", langsmith(thumb, outputs=None)) == ["runs without an answer"]
