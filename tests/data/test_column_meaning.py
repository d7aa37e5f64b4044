"""Columns beside a record: which ones travel, and which ones stop an import."""

from pathlib import Path
from typing import Any

import pytest

from data.test_importer import lines, rows
from fairlead.core.errors import DataError
from fairlead.data import column_map, importer
from fairlead.data.column_meaning import meaning_of

CHAT = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}
ASKED = [{"role": "user", "content": "2 + 2?"}]
FOUR = [{"role": "assistant", "content": "4"}]
FIVE = [{"role": "assistant", "content": "5"}]


def imported(path: Path, *values: dict[str, Any], **options: Any) -> list[Any]:
    out = path / "out.jsonl"
    importer.import_file(rows(*values), out, **options)
    return lines(out)


@pytest.mark.parametrize(
    "column",
    """score reward rating ranks winner feedback quality is_helpful response_a answerA thumbs-up
    verdict annotations correctness weight images history system_text context""".split(),
)
def test_a_column_that_carries_meaning_stops_the_import(tmp_path: Path, column: str) -> None:
    with pytest.raises(
        DataError, match=f"does not read {column} = 1, which would be lost. .*--ignore {column}"
    ):
        imported(tmp_path, CHAT, CHAT | {column: 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "remedy"),
    [
        ({"is_correct": True}, "with --map label=is_correct; or leave it out"),
        ({"stars_rating": 4}, "with --map score=stars_rating --scale 1:5; or leave it out"),
        ({"the_system_text": "Sing."}, "with --map system=the_system_text; or leave it out"),
        ({"is_wrong": True}, "would be lost. Leave it out on purpose with --ignore is_wrong."),
        ({"ok": False}, "with --map label=ok; or leave it out"),
        ({"thumb": "up"}, "with --map label=thumb; or leave it out"),
        ({"feedback": "👎"}, "with --map label=feedback; or leave it out"),
        ({"accepted": "false"}, "with --map label=accepted; or leave it out"),  # text, as in CSV files
        ({"rating": "4"}, "with --map score=rating --scale 1:5; or leave it out"),
        ({"images": ["a.png"]}, "would be lost. Leave it out on purpose with --ignore images."),
    ],
)
def test_the_remedy_names_an_option_that_reads_the_column(
    tmp_path: Path, columns: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(DataError, match=remedy):
        imported(tmp_path, {"prompt": "2 + 2?", "completion": "4"} | columns)


@pytest.mark.parametrize(("column", "value"), [("thumb", "down"), ("feedback", "👎"), ("accepted", "false")])
def test_the_named_option_reads_the_column(tmp_path: Path, column: str, value: str) -> None:
    row = {"prompt": "2 + 2?", "completion": "5", column: value}
    [written] = imported(tmp_path, row, columns=column_map.parse([f"label={column}"], []))
    assert written["label"] is False


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "rejected"},
        {"judge": "bad"},
        {"label_name": "negative"},
        {"feedback_type": "thumbs_down"},
        {"label_id": 0},
        {"rating_level": 1},
        {"desirable": False},
        {"like": False},
        {"polarity": -1},
        {"hallucinated": True},
        {"background": "A sum."},
    ],
)
def test_what_judges_an_answer_or_completes_a_question_is_not_put_aside(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match=f"does not read {next(iter(columns))} = "):
        imported(tmp_path, {"prompt": "2 + 2?", "completion": "5"} | columns)


def test_notes_with_words_of_judgements_travel(tmp_path: Path) -> None:
    notes = {"subset": "helpful", "category": "negative", "direction": "up", "label_source": "people"}
    assert imported(tmp_path, CHAT | notes) == [CHAT | {"metadata": notes}]


def test_a_column_without_a_value_stops_nothing(tmp_path: Path) -> None:
    assert imported(tmp_path, CHAT | {"score": None, "history": [], "context": " "}) == [CHAT]


def test_ids_and_notes_travel(tmp_path: Path) -> None:
    row = CHAT | {"id": 7, "source": "forum", "chosen_model": "m", "num_turns": 1, "metadata": {"lang": "en"}}
    notes = {"source": "forum", "chosen_model": "m", "num_turns": 1, "lang": "en"}
    assert imported(tmp_path, row) == [CHAT | {"id": "7", "metadata": notes}]


def test_tags_keep_their_place_beside_comparisons(tmp_path: Path) -> None:
    pair = {"prompt": ASKED, "chosen": FOUR, "rejected": FIVE, "tags": ["sum"], "shown_first": "chosen"}
    assert imported(tmp_path, pair) == [pair]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2 + 2?", "response_1": "4", "response_2": "5", "strength": -3},
        {"prompt": "2 + 2?", "answers": ["4", "5"]},
        {"prompt": "2 + 2?", "erste": "4", "zweite": "5"},  # no name of the language of the words is known
        {"prompt": "2 + 2?", "completions": ["4", "5"]},
    ],
)
def test_prompts_are_written_alone_only_when_asked_for(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="the format plain does not read .*--kind prompt"):
        imported(tmp_path, row)
    [written] = imported(tmp_path, row, kind="prompt")
    assert written["prompt"] == ASKED


def test_a_prompt_may_have_notes(tmp_path: Path) -> None:
    row = {"prompt": "2 + 2?", "category": "sums", "prompt_id": "a1"}
    notes = {"category": "sums", "prompt_id": "a1"}
    assert imported(tmp_path, row) == [{"prompt": ASKED, "metadata": notes}]


def test_columns_of_the_question_stop_an_import_of_prompts_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not read documents"):
        imported(tmp_path, {"prompt": "2 + 2?", "documents": ["Sums"]}, kind="prompt")


@pytest.mark.parametrize(
    ("column", "value", "meaning"),
    [
        ("kto_tag", True, "answer"),
        ("reward_model", {"ground_truth": "4"}, "answer"),
        ("reward_model", "deberta", None),
        ("answer_length", 7, None),
        ("question_id", 7, None),
        ("key", 7, None),
        ("systemPrompt", "Sum.", "question"),
        ("colour", "red", None),
        ("Unnamed: 0", 0, None),
    ],
)
def test_the_meaning_of_a_name(column: str, value: object, meaning: str | None) -> None:
    assert meaning_of(column, value) == meaning
