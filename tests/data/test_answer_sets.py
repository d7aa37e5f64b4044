"""Nectar, PandaLM, Self-Instruct and text that a template has rendered."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, WHERE, converted, problem
from fairlead.data.formats.format import LeftOut
from fairlead.data.importer import FORMATS
from fairlead.data.records import Comparison, Demonstration, Message, Ranking

VOTES = {"annotator1": 1, "annotator2": 1, "annotator3": 2}
TWO = {"instruction": "2 + 2?", "input": "", "response1": "4", "response2": "5"}


def test_nectar_gives_rankings() -> None:
    row = {
        "prompt": "\n\nHuman: 2 + 2?\n\nAssistant: ",
        "answers": [{"answer": "4", "model": "a", "rank": 1.0}, {"answer": "5", "model": "b", "rank": 2.0}],
    }
    expected = Ranking(ASKED, (FOUR, FIVE), (1, 2), metadata={"models": ["a", "b"]})
    assert converted("nectar", row) == expected
    assert problem("nectar", row | {"answers": [{"answer": "4", "rank": 1}]}).startswith("completions: ")


@pytest.mark.parametrize(
    ("votes", "record"),
    [
        (VOTES, Comparison(ASKED, FOUR, FIVE)),
        (VOTES | {"annotator1": 2}, Comparison(ASKED, FIVE, FOUR)),
        (VOTES | {"annotator1": 0}, LeftOut("ties, and rows on which the annotators disagree")),
        (dict.fromkeys(VOTES, "2"), Comparison(ASKED, FIVE, FOUR)),
    ],
)
def test_pandalm_takes_the_answer_of_most_annotators(votes: dict[str, Any], record: object) -> None:
    assert converted("pandalm", TWO | votes) == record


def test_a_vote_for_no_answer_is_refused() -> None:
    assert problem("pandalm", TWO | VOTES | {"annotator2": 3}).startswith("annotator1: 3: is no choice")


def test_self_instruct_gives_a_demonstration_per_instance() -> None:
    row = {
        "instruction": "Add.",
        "instances": [{"input": "2, 2", "output": "4"}, {"input": "", "output": "5"}],
    }
    assert converted("self-instruct", row) == [
        Demonstration((Message("user", "Add.\n\n2, 2"),), FOUR),
        Demonstration((Message("user", "Add."),), FIVE),
    ]
    empty = FORMATS["self-instruct"].convert(row | {"instances": []}, WHERE)
    assert empty == LeftOut("tasks without an instance")


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n",
        "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4",
        "### Human: 2 + 2?\n### Assistant: 4",
        "### Human: 2 + 2?### Assistant: 4",
    ],
)
def test_rendered_conversations_are_taken_apart(text: str) -> None:
    assert converted("text", {"text": text}) == Demonstration((), ASKED + FOUR)


@pytest.mark.parametrize("text", ["A tale.", "Note.\n### Human: a", "<|im_start|>user\na<|im_end|>\nrest"])
def test_other_text_is_a_document(text: str) -> None:
    assert problem("text", {"text": text}).startswith("text: ")
    assert "fairlead train pretrain documents=FILE" in problem("text", {"text": text})
