"""PRM800K: a problem, and for each step the alternatives with ratings of 1 (right), 0 and -1 (wrong).

A labeller rates the alternatives of a step and continues with one of them, or with a step of their own.  The
chosen steps are one row; each other rated alternative is a row that ends with it.  A neutral step (0) counts
as right, as in the paper (arXiv:2305.20050); the ratings are kept in the metadata.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import parse_stepwise, required_text
from fairlead.data.records import Stepwise
from fairlead.data.row_problem import RowLocation, reject_row

RATINGS = (-1, 0, 1)
UNUSABLE = {"bad_problem": "problems that the labeller found faulty", "give_up": "problems given up"}

RatedStep = tuple[str, int]


def recognises(row: Row) -> bool:
    label = feedback.from_json(row.get("label"))
    return isinstance(label, dict) and isinstance(label.get("steps"), list) and "question" in row


def convert(row: Row, where: RowLocation) -> Conversion:
    question = feedback.read_object(row, "question", where)
    label = feedback.read_object(row, "label", where)
    problem = required_text(question, "problem", where)
    if (reason := str(label.get("finish_reason"))) in UNUSABLE:
        return LeftOut(UNUSABLE[reason])
    notes = {
        "rater": row.get("labeler"),
        "finish_reason": label.get("finish_reason"),
        "ground_truth_answer": question.get("ground_truth_answer"),
        "timestamp": row.get("timestamp"),
        "generation": row.get("generation"),
    }
    path: list[RatedStep] = []
    branches: list[list[RatedStep]] = []
    for index, step in enumerate(feedback.read_list(label, "steps", where)):
        field = f"label.steps[{index}]"
        if not isinstance(step, dict):
            reject_row(where, field, step, "is not an object", "Drop the row with --drop.")
        chosen, others = _alternatives(step, field, where)
        branches += [[*path, other] for other in others]
        if chosen is None:
            break  # the labeller stopped here
        path.append(chosen)
    if path and not any(branch[: len(path)] == path for branch in branches):
        branches.append(path)
    if not branches:
        return LeftOut("problems without a rated step")
    return [
        feedback.carrying(
            _stepwise(problem, branch, where), None, {**notes, "ratings": [rating for _, rating in branch]}
        )
        for branch in branches
    ]


def _alternatives(
    step: Mapping[str, Any], field: str, where: RowLocation
) -> tuple[RatedStep | None, list[RatedStep]]:
    """The step that the labeller continued with, and the other rated alternatives."""
    completions = step.get("completions") or []
    if not isinstance(completions, Sequence) or isinstance(completions, str):
        reject_row(where, f"{field}.completions", completions, "is not a list", "Drop the row with --drop.")
    chosen_index = step.get("chosen_completion")
    chosen: RatedStep | None = None
    others: list[RatedStep] = []
    for index, completion in enumerate(completions):
        rated = _rated(completion, f"{field}.completions[{index}]", where)
        if rated is not None and index == chosen_index:
            chosen = rated
        elif rated is not None:
            others.append(rated)
    human = step.get("human_completion")
    if chosen is None and chosen_index is None and human is not None:
        chosen = _rated(human, f"{field}.human_completion", where, default=1)
    return chosen, others


def _rated(
    completion: object, field: str, where: RowLocation, default: int | None = None
) -> RatedStep | None:
    """The text of a step with its rating; None if it was not rated.

    A step that the labeller wrote has no rating and is right.
    """
    if not isinstance(completion, dict):
        reject_row(where, field, completion, "is not an object", "Drop the row with --drop.")
    rating = completion.get("rating")
    if rating is None:
        rating = default
    if rating is None:
        return None
    number = feedback.as_number(rating)
    if number not in RATINGS:
        reject_row(where, f"{field}.rating", rating, "is not a rating", "Ratings are -1, 0 and 1.")
    return required_text(completion, "text", where).strip(), int(number)


def _stepwise(problem: str, steps: list[RatedStep], where: RowLocation) -> Stepwise:
    return parse_stepwise(
        {
            "prompt": [{"role": "user", "content": problem}],
            "completions": [text for text, _ in steps],
            "labels": [rating >= 0 for _, rating in steps],
        },
        where,
    )


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"stepwise": frozenset({"question", "label", "labeler", "timestamp", "generation"})},
    metadata=frozenset({"is_quality_control_question", "is_initial_screening_question"}),
)
