"""MLflow: assessments of people, and whole answers only."""

import json

from data.conversions import judged, left_out
from data.sample_texts import GOOD, QUESTION
from data.tool_samples import mlflow, mlflow_expectation, mlflow_feedback


def test_an_edit_that_changes_nothing_is_counted() -> None:
    assert left_out("mlflow", mlflow(mlflow_expectation(GOOD))) == ["edits that change nothing"]


def test_an_assessment_that_was_replaced_is_not_read() -> None:
    row = mlflow(mlflow_feedback(False) | {"valid": False}, mlflow_feedback(True))
    assert judged("mlflow", row) == [(GOOD, True)]


def test_previews_of_mlflow_are_not_taken_for_answers() -> None:
    row = mlflow(mlflow_feedback(True)) | {"data": {"spans": []}}
    assert left_out("mlflow", row) == ["traces without a whole answer"]
    row["data"] = {"request": json.dumps({"question": QUESTION}), "response": json.dumps(GOOD)}
    assert judged("mlflow", row) == [(GOOD, True)]
