"""Sets of prompts: IFEval and MT-Bench."""

from typing import Any

import pytest

from data.test_formats import ASKED, USER, converted
from fairlead.data.records import Message, Prompt

SYSTEM = Message("system", "Be brief.")
EARLIER = (Message("user", "1 + 1?"), Message("assistant", "2"))
SHARE = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]


ROWS: list[tuple[str, dict[str, Any], object]] = [
    ("verl", {"prompt": [USER], "reward_model": {"ground_truth": "4", "style": "rule"}}, Prompt(ASKED, "4")),
    ("ifeval", {"prompt": "2 + 2?", "instruction_id_list": ["a"], "kwargs": [{}]}, Prompt(ASKED)),
    ("mt-bench", {"question_id": 1, "turns": ["2 + 2?", "And 3?"]}, Prompt(ASKED)),
]


@pytest.mark.parametrize(("format", "row", "record"), ROWS)
def test_a_row_is_recognised_and_converted(format: str, row: dict[str, Any], record: object) -> None:
    assert converted(format, row) == record
