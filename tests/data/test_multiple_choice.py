"""Questions with options."""

from typing import Any

import pytest

from data.conversions import converted, problem
from data.sample_texts import QUESTION
from fairlead.data.records import Prompt

OPTIONS = ["red", "blue", "4"]


@pytest.mark.parametrize(
    ("columns", "letter"),
    [
        ({"choices": OPTIONS, "answer": 1}, "B"),
        ({"choices": OPTIONS, "answer": 0}, "A"),
        ({"options": OPTIONS, "answer": "B", "answer_index": 1}, "B"),
        ({"options": OPTIONS, "answer": "(C)"}, "C"),
        ({"options": OPTIONS, "answer": "blue"}, "B"),
        ({"options": OPTIONS, "answer": "4"}, "C"),
        ({"choices": {"text": OPTIONS, "label": ["A", "B", "C"]}, "answerKey": "A"}, "A"),
        ({"choices": {"text": OPTIONS, "label": ["1", "2", "3"]}, "answerKey": "2"}, "B"),
        ({"choices": '["red", "blue"]', "answer": "b"}, "B"),
    ],
)
def test_the_right_option_becomes_a_letter(columns: dict[str, Any], letter: str) -> None:
    (record,) = converted("multiple-choice", {"question": QUESTION, **columns})
    assert isinstance(record, Prompt) and record.reference == letter
    assert record.prompt[0].content.startswith(f"{QUESTION}\n\nA. red\nB. blue")
    assert record.metadata is not None
    assert f"{letter}. {record.metadata['right_option']}" in record.prompt[0].content


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"choices": OPTIONS, "answer": 3}, "answer: 3: names no option"),
        ({"choices": OPTIONS, "answer": "1"}, 'answer: "1": names no option'),  # from 0 or from 1?
        ({"choices": OPTIONS, "answer": "D"}, 'answer: "D": names no option'),
        ({"choices": OPTIONS, "answer": True}, "answer: true: names no option"),
        ({"options": OPTIONS, "answer": "A", "answer_index": 1}, 'answer: "A": names another option than'),
    ],
)
def test_an_answer_that_names_no_option_is_refused(columns: dict[str, Any], expected: str) -> None:
    assert problem("multiple-choice", {"question": QUESTION, **columns}).startswith(expected)
