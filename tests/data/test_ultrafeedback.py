"""UltraFeedback: rankings by the mean rating, or one rating per answer; scores are kept."""

from typing import Any

import pytest

from data.test_formats import ASKED, FIVE, FOUR, SAYS_4, SAYS_5, USER, WHERE, converted, problem
from data.test_importer import rows
from fairlead.core.errors import DataError
from fairlead.data import importer
from fairlead.data.formats.format import LeftOut
from fairlead.data.importer import FORMATS
from fairlead.data.record_reader import ParsedRow
from fairlead.data.records import Ranking, Rating


def answer(text: str, score: float | None, *ratings: str) -> dict[str, Any]:
    aspects = ("helpfulness", "honesty")
    annotations = {name: {"Rating": rating} for name, rating in zip(aspects, ratings, strict=False)}
    return {"model": "m", "response": text, "fine-grained_score": score, "annotations": annotations}


ROW = {
    "source": "s",
    "instruction": "2 + 2?",
    "completions": [answer("5", 1.5, "1", "N/A"), answer("4", 4.5, "5", "4")],
    "correct_answers": ["None"],
}


def test_answers_are_ranked_by_their_score_and_equal_scores_are_equal_ranks() -> None:
    ranking = converted("ultrafeedback", ROW)
    assert isinstance(ranking, Ranking)
    assert (ranking.prompt, ranking.completions, ranking.ranks) == (ASKED, (FIVE, FOUR), (2, 1))
    assert ranking.metadata is not None
    assert [notes["fine-grained_score"] for notes in ranking.metadata["answers"]] == [1.5, 4.5]
    three = ROW | {"completions": [answer("5", None, "1"), answer("4", 4.5), answer("6", None, "1", "1")]}
    ranking = converted("ultrafeedback", three)
    assert isinstance(ranking, Ranking) and ranking.ranks == (2, 1, 2)


def test_each_answer_is_a_rating_when_ratings_are_asked_for() -> None:
    records = FORMATS["ultrafeedback"].readings["rating"](ROW, WHERE)
    assert isinstance(records, list)
    assert [(type(record), getattr(record, "aspects", None)) for record in records] == [
        (Rating, {"helpfulness": 0.0}),
        (Rating, {"helpfulness": 1.0, "honesty": 0.75}),
    ]


def test_answers_of_one_score_are_left_out() -> None:
    assert isinstance(converted("ultrafeedback", ROW | {"completions": [answer("4", 1)] * 2}), LeftOut)


def test_an_answer_without_scores_is_refused() -> None:
    row = ROW | {"completions": [answer("4", None), answer("5", 1)]}
    assert problem("ultrafeedback", row).startswith("completions[0].fine-grained_score: is not a number")


BINARISED = {
    "prompt": "2 + 2?",
    "prompt_id": "p",
    "chosen": [USER, SAYS_4],
    "rejected": [USER, SAYS_5],
    "messages": [USER, SAYS_4],
    "score_chosen": 8.0,
    "score_rejected": 6.0,
}


def test_the_binarised_rows_keep_their_scores() -> None:
    [parsed] = importer.import_rows(rows(BINARISED), "openai")
    assert isinstance(parsed, ParsedRow)
    metadata = importer.metadata_of(parsed.row, parsed.record, "openai", None, importer.Tally())
    assert metadata == {"prompt_id": "p", "score_chosen": 8.0, "score_rejected": 6.0}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"score_chosen": 5.0}, "score_rejected: 6.0: is higher than score_chosen, which is 5.0"),
        ({"messages": [USER, {"role": "assistant", "content": "6"}]}, "messages: is neither the chosen nor"),
    ],
)
def test_a_binarised_row_that_contradicts_itself_is_refused(columns: dict[str, Any], expected: str) -> None:
    assert problem("openai", BINARISED | columns).startswith(expected)


def test_a_score_that_no_pair_has_stops_the_import(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="does not read reward = 1"):
        importer.import_file(rows(BINARISED | {"reward": 1}), tmp_path / "out.jsonl")
