"""Rows in the layouts of data sets on the Hub, from memory and in our own words: each the right way round."""

from pathlib import Path
from typing import Any

import pytest

from data.conversions import judged
from data.sample_texts import BAD, GOOD, QUESTION, Row, assistant, user
from fairlead.core.errors import DataError
from fairlead.data import importer
from fairlead.data.file_source import SourceRow
from fairlead.data.importer import first_format
from fairlead.data.row_problem import RowLocation

WON, LOST = [user(QUESTION), assistant(GOOD)], [user(QUESTION), assistant(BAD)]
PAIR = {"chosen": WON, "rejected": LOST}
SHP = {"post_id": "p", "domain": "d", "history": QUESTION, "human_ref_A": BAD, "human_ref_B": GOOD}
ARENA = {"model_a": "x", "model_b": "y", "conversation_a": LOST, "conversation_b": WON}
BETTER = [(GOOD, BAD)]
IMITATED = [f"{QUESTION} / {GOOD}"]

LAYOUTS: dict[str, tuple[str, Row, list[Any]]] = {
    "ultrafeedback binarised": (
        "openai",
        {**PAIR, "prompt": QUESTION, "messages": WON, "score_chosen": 8.5, "score_rejected": 6.0},
        BETTER,
    ),
    "argilla's ultrafeedback": ("distilabel", {**PAIR, "chosen-rating": 4.7, "rejected-rating": 3.0}, BETTER),
    "ultrafeedback, multi-binarised": (
        "answer-pair",
        {
            "instruction": QUESTION,
            "chosen_response": GOOD,
            "rejected_response": BAD,
            "chosen_avg_rating": 4.5,
            "rejected_avg_rating": 2.0,
        },
        BETTER,
    ),
    "skywork": ("openai", {**PAIR, "source": "magpie", "chosen_score": 0.9, "rejected_score": 0.2}, BETTER),
    "tulu-3": ("openai", {**PAIR, "id": "x", "prompt": QUESTION, "chosen_model": "m"}, BETTER),
    "magpie dpo": (
        "openai",
        {**PAIR, "instruction": QUESTION, "responses": [BAD, GOOD], "rewards_armorm": [{"score": 0.2}]},
        BETTER,
    ),
    "snorkel": ("openai", {**PAIR, "all_generated_responses": [GOOD], "all_rm_scores": [0.3]}, BETTER),
    "orpo mix": ("openai", {**PAIR, "prompt": QUESTION, "question": QUESTION, "source": "x"}, BETTER),
    "capybara dpo": (
        "distilabel",
        {
            **PAIR,
            "conversation": [{"input": QUESTION, "output": GOOD}],
            "original_response": BAD,
            "new_generations": ["n"],
            "rating_chosen": 5,
            "rating_rejected": 3,
            "turns": 1,
        },
        BETTER,
    ),
    "tl;dr of trl": (
        "plain",
        {
            "prompt": QUESTION,
            "chosen": GOOD,
            "rejected": BAD,
            "info": {"id": "x"},
            "summaries": [{"text": BAD}, {"text": GOOD}],
            "choice": 1,
        },
        BETTER,
    ),
    "rm-static": (
        "plain",
        {
            "prompt": f"\n\nHuman: {QUESTION}\n\nAssistant:",
            "response": GOOD,
            "chosen": GOOD,
            "rejected": BAD,
        },
        BETTER,
    ),
    "shp": ("shp", {**SHP, "labels": 0, "score_A": 3, "score_B": 9}, BETTER),
    "arena": ("chatbot-arena", {**ARENA, "winner": "model_b"}, BETTER),
    "arena, 55k": (
        "chatbot-arena",
        {
            "prompt": f'["{QUESTION}"]',
            "response_a": f'["{GOOD}"]',
            "response_b": f'["{BAD}"]',
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
        BETTER,
    ),
    "arena, with one text each": (
        "chatbot-arena",
        {"prompt": QUESTION, "response_a": BAD, "response_b": GOOD, "winner": "model_b", "model_a": "x"},
        BETTER,
    ),
    "helpsteer3": (
        "helpsteer-preference",
        {"context": [user(QUESTION)], "response1": BAD, "response2": GOOD, "overall_preference": 2},
        BETTER,
    ),
    "llmbar": ("answer-pair", {"input": QUESTION, "output_1": BAD, "output_2": GOOD, "label": 2}, BETTER),
    "argilla's kto mix": (
        "native",
        {"prompt": [user(QUESTION)], "completion": [assistant(BAD)], "label": False, "rating": 3.0},
        [(BAD, False)],
    ),
    "safe-rlhf, single answers": (
        "beavertails",
        {"prompt": QUESTION, "response": BAD, "is_safe": False, "severity_level": 2},
        [(BAD, False)],
    ),
    "wildchat": (
        "sharegpt",
        {
            "conversation": [
                turn | {"toxic": False, "redacted": False, "turn_identifier": 1, "language": "English"}
                for turn in WON
            ],
            "turn": 1,
            "toxic": False,
            "detoxify_moderation": [{"toxicity": 0.1}],
        },
        IMITATED,
    ),
    "lmsys": ("sharegpt", {"conversation": WON, "turn": 1, "openai_moderation": [{}]}, IMITATED),
    "slimorca": (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": QUESTION, "weight": 0},
                {"from": "gpt", "value": GOOD},
            ]
        },
        IMITATED,
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_imported_the_right_way_round(name: str, tmp_path: Path) -> None:
    format, row, expected = LAYOUTS[name]
    assert first_format(row) == format
    assert judged(format, row) == expected
    importer.import_file(
        [SourceRow(RowLocation("rows.jsonl", 1), row)], tmp_path / "out.jsonl"
    )  # nothing is lost


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**PAIR, "prompt": QUESTION, "score_chosen": 3, "score_rejected": 8}, "is higher than score_chosen"),
        ({**SHP, "labels": 1, "score_A": 3, "score_B": 9}, "prefers comment A, which has fewer votes"),
        (
            {"prompt": QUESTION, "chosen": GOOD, "rejected": BAD, "first_steps": "Step 1"},
            "does not read first_steps",
        ),
        (
            {"prompt": QUESTION, "response_0": BAD, "response_1": GOOD, "safer_response_id": 1},
            "does not read",
        ),
        (
            {"context": [user(QUESTION)], "response1": BAD, "response2": GOOD, "feedback1": ["f"]},
            "no format has these columns",
        ),
    ],
)
def test_a_layout_that_is_not_understood_is_refused(row: Row, expected: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=expected):
        importer.import_file([SourceRow(RowLocation("rows.jsonl", 1), row)], tmp_path / "out.jsonl")
