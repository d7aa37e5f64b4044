"""Questions and answers: a reference for a rule, an answer to imitate, or two answers."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, WHERE, converted
from fairlead.data.formats.question_answer import final_answer
from fairlead.data.importer import FORMATS
from fairlead.data.records import Comparison, Demonstration, Message, Prompt

SYSTEM = Message("system", "Be brief.")
FLAN = {"column_1": "Is 2 even?", "column_2": "yes", "column_3": "Two is divisible by two."}

ROWS: list[tuple[str, dict[str, Any], object]] = [
    ("question-answer", {"question": "2 + 2?", "answer": "4"}, Prompt(ASKED, "4")),
    (
        "question-answer",
        {"question": "2 + 2?", "answer": "So\n#### 1,004"},
        Prompt(ASKED, "1004", metadata={"solution": "So\n#### 1,004"}),
    ),
    (
        "question-answer",
        {"problem": "2 + 2?", "solution": r"So \boxed{\frac{8}{2}}."},
        Prompt(ASKED, r"\frac{8}{2}", metadata={"solution": r"So \boxed{\frac{8}{2}}."}),
    ),
    ("question-answer", {"problem": "2 + 2?", "answer": 4, "solution": "So 4."}, Prompt(ASKED, "4")),
    (
        "orca-dpo",
        {"system": "Be brief.", "question": "2 + 2?", "chosen": "4", "rejected": "5"},
        Comparison((SYSTEM, *ASKED), FOUR, FIVE),
    ),
    (
        "orca",
        {"system_prompt": "Be brief.", "question": "2 + 2?", "response": "4"},
        Demonstration((SYSTEM, *ASKED), FOUR),
    ),
    (
        "dolly",
        {"instruction": "Add.", "context": "2, 2", "response": "4", "category": "qa"},
        Demonstration((Message("user", "Add.\n\n2, 2"),), FOUR),
    ),
    ("query", {"query": "2 + 2?", "response": "4"}, Demonstration(ASKED, FOUR)),
    (
        "flan",
        FLAN,
        Prompt((Message("user", "Is 2 even?"),), "yes", metadata={"explanation": FLAN["column_3"]}),
    ),
]


@pytest.mark.parametrize(("format", "row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(format: str, row: dict[str, Any], record: object) -> None:
    assert converted(format, row) == record


def test_a_checked_answer_can_be_imitated() -> None:
    row = {"question": "2 + 2?", "answer": "4"}
    demonstrate = FORMATS["question-answer"].readings["demonstration"]
    assert demonstrate(row, WHERE) == Demonstration(ASKED, FOUR)
    demonstration = FORMATS["flan"].readings["demonstration"](FLAN, WHERE)
    assert isinstance(demonstration, Demonstration)
    assert demonstration.completion[0].content == "Two is divisible by two. The answer is yes."


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ("a #### b #### -1,000.5", "-1000.5"),
        ("#### 3, 4", "3, 4"),
        (r"\boxed{1} then \boxed {2}", "2"),
        (r"\boxed{1", r"\boxed{1"),
        (" 4 ", "4"),
    ],
)
def test_the_final_answer_of_a_solution(solution: str, expected: str) -> None:
    assert final_answer(solution) == expected
