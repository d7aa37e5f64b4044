import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import ConfigError, DataError
from fairlead.data import column_map, file_source, importer
from fairlead.data.file_source import SourceRow
from fairlead.data.record_reader import read_comparisons
from fairlead.data.row_problem import RowLocation, RowProblem

PAIR = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
EQUAL = PAIR | {"rejected": "4"}
ASKED = [{"role": "user", "content": "2 + 2?"}]
FOUR = [{"role": "assistant", "content": "4"}]


def rows(*values: dict[str, Any]) -> list[SourceRow | RowProblem]:
    return [SourceRow(RowLocation("in.jsonl", line), value) for line, value in enumerate(values, start=1)]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_are_imported_with_the_format_and_the_unused_columns_named(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    report = importer.import_file(rows(PAIR, PAIR | {"source": "x", "prompt": "2 + 1 + 1?"}), out)
    assert (report.format, report.kind, report.metadata_columns) == ("plain", "comparison", ("source",))
    assert (report.num_read, report.num_written, report.num_dropped, report.num_repeated) == (2, 2, 0, 0)
    assert lines(out)[0] == {
        "prompt": ASKED,
        "chosen": FOUR,
        "rejected": [{"role": "assistant", "content": "5"}],
    }


def test_bad_rows_stop_the_import_and_leave_nothing(tmp_path: Path) -> None:
    broken = RowProblem("in.jsonl", 9, "", "{", "not valid JSON", "Each line must be one JSON object.", "{")
    with pytest.raises(DataError) as caught:
        importer.import_file([*rows(PAIR, EQUAL), broken], tmp_path / "out.jsonl")
    assert str(caught.value).splitlines() == [
        'in.jsonl:2: chosen: "4": chosen and rejected are equal. Mark it a tie, or drop it with --drop.',
        'in.jsonl:9: "{": not valid JSON. Each line must be one JSON object.',
        "2 of 3 rows cannot be used. Nothing was written. Set them aside with --drop.",
    ]
    assert list(tmp_path.iterdir()) == []


def test_many_bad_rows_are_counted_and_ten_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        importer.import_file(rows(*[EQUAL] * 12), tmp_path / "out.jsonl")
    *shown, total = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in shown] == [f"in.jsonl:{line}" for line in range(1, 11)]
    assert total.startswith("12 of 12 rows cannot be used (first 10 shown).")


def test_bad_rows_leave_an_earlier_file_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("earlier")
    with pytest.raises(DataError):
        importer.import_file(rows(PAIR, EQUAL), out)
    assert out.read_text() == "earlier"


def test_dropped_rows_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    broken = RowProblem("in.jsonl", 9, "", "{", "not valid JSON", "Mend it.", "{")
    report = importer.import_file([*rows(PAIR, EQUAL), broken], out, drop=True)
    assert (report.num_read, report.num_written, report.num_dropped) == (3, 1, 2)
    assert report.rejected_path == tmp_path / "out.rejected.jsonl"
    assert lines(report.rejected_path) == [
        {
            "where": "in.jsonl:2",
            "field": "chosen",
            "reason": "chosen and rejected are equal. Mark it a tie, or drop it with --drop.",
            "row": EQUAL,
        },
        {"where": "in.jsonl:9", "field": "", "reason": "not valid JSON. Mend it.", "row": "{"},
    ]
    assert len(lines(out)) == 1


def test_nothing_dropped_leaves_no_rejected_file(tmp_path: Path) -> None:
    (tmp_path / "out.rejected.jsonl").write_text("of an earlier import")
    report = importer.import_file(rows(PAIR), tmp_path / "out.jsonl", drop=True)
    assert report.rejected_path is None
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_dropping_every_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="1 of 1 row cannot be used. Nothing was written, because no row is left."
    ):
        importer.import_file(rows(EQUAL), tmp_path / "out.jsonl", drop=True)
    assert list(tmp_path.iterdir()) == []


def test_chosen_answers_become_demonstrations(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert importer.import_file(rows(PAIR), out, kind="demonstration").kind == "demonstration"
    assert lines(out) == [{"prompt": ASKED, "completion": FOUR}]


def test_an_answer_of_a_bad_tie_is_no_demonstration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='in.jsonl:1: tie: "bad": both answers are bad'):
        importer.import_file(rows(PAIR | {"tie": "bad"}), tmp_path / "out.jsonl", kind="demonstration")


def test_prompts_are_written_once_and_repetitions_counted(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    report = importer.import_file(
        rows(PAIR, PAIR | {"prompt": "3?"}, PAIR | {"prompt": "2 +  2?"}), out, kind="prompt"
    )
    assert (report.num_read, report.num_written, report.num_repeated) == (3, 2, 1)
    assert lines(out) == [{"prompt": ASKED}, {"prompt": [{"role": "user", "content": "3?"}]}]


def test_the_prompt_of_a_conversation_is_its_opening(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    importer.import_file(rows({"messages": [*ASKED, *FOUR]}), out, kind="prompt")
    assert lines(out) == [{"prompt": ASKED}]


def test_prompts_keep_their_reference_and_tags(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    importer.import_file(rows({"prompt": "2 + 2?", "reference": "4", "tags": ["sum"]}), out, kind="prompt")
    assert lines(out) == [{"prompt": ASKED, "reference": "4", "tags": ["sum"]}]


def test_a_row_of_another_kind_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in.jsonl:2: is a demonstration, not a comparison"):
        importer.import_file(rows(PAIR, {"prompt": "2 + 2?", "completion": "4"}), tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"prompt": "1 + 1?", "completion": "2"}, PAIR),
        ({"prompt": "1 + 1?", "completion": None}, {"prompt": "2 + 2?", "completion": "4"}),
        ({"prompt": "1 + 1?"}, PAIR),
        ({"prompt": "1 + 1?"}, {"prompt": "2 + 2?", "completion": "5", "label": False}),
    ],
)
def test_the_kind_of_the_first_row_costs_no_later_row_its_answers(
    tmp_path: Path, first: dict[str, Any], later: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match=r"in.jsonl:2: is a .*, not a .*with --kind \w+ --drop"):
        importer.import_file(rows(first, later), tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_rankings_beside_comparisons_give_comparisons(tmp_path: Path) -> None:
    ranking = {"prompt": "1 + 1?", "completions": ["3", "2"], "ranks": [2, 1]}
    assert importer.import_file(rows(PAIR, ranking), tmp_path / "out.jsonl").num_written == 2
    assert lines(tmp_path / "out.jsonl")[1]["chosen"] == [{"role": "assistant", "content": "2"}]


def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    demonstration = {"prompt": "2 + 2?", "completion": "4"}
    with pytest.raises(DataError) as caught:
        importer.import_file(rows(*[demonstration] * 12), tmp_path / "out.jsonl", kind="binary")
    assert str(caught.value) == (
        "in.jsonl: holds demonstrations, which give no binary rows. "
        "Leave out --kind, or import a file of binary rows."
    )


def test_the_format_is_that_of_most_rows(tmp_path: Path) -> None:
    alpaca = {"instruction": "Add.", "output": "4"}
    name, remaining = importer.choose_format(rows(PAIR, alpaca, alpaca, {"x": 1}))
    assert name == "alpaca"
    assert len(list(remaining)) == 4


def test_rows_beyond_the_sample_are_imported_too(tmp_path: Path) -> None:
    many = rows(*(PAIR | {"prompt": f"{number}?"} for number in range(250)))
    assert importer.import_file(iter(many), tmp_path / "out.jsonl").num_written == 250


def test_a_named_format_is_used_as_it_is() -> None:
    assert importer.choose_format(rows({"prompt": "2 + 2?", "messages": []}), "plain")[0] == "plain"


def test_a_named_format_that_reads_no_row_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        importer.import_file(rows(*[PAIR] * 12), tmp_path / "out.jsonl", format="sharegpt")
    assert str(caught.value) == (
        "in.jsonl: the format sharegpt reads none of the first 12 rows, "
        "whose columns are prompt, chosen, rejected. They look like plain; leave out --format."
    )


def test_an_unknown_format_or_kind_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='format = "alpacca": unknown. Did you mean "alpaca"?'):
        importer.import_file(rows(PAIR), tmp_path / "out.jsonl", format="alpacca")
    with pytest.raises(ConfigError, match='kind = "xyz": unknown. Choose one of demonstration, comparison'):
        importer.import_file(rows(PAIR), tmp_path / "out.jsonl", kind="xyz")


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match="^in.jsonl:1: no format has these columns: frage, antwort. Say what they hold with --map",
    ):
        importer.import_file(rows({"frage": "a", "antwort": "b"}), tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="no format has these columns: none"):
        importer.import_file(rows({}), tmp_path / "out.jsonl")


def test_a_source_with_no_rows_or_no_objects_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        importer.import_file([], tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="has no rows"):
        importer.import_file([], tmp_path / "out.jsonl", format="hh")
    broken = RowProblem("in.jsonl", 1, "", "{", "not valid JSON", "Mend it.", "{")
    with pytest.raises(DataError, match="None of them is a row"):
        importer.import_file([broken], tmp_path / "out.jsonl", drop=True)
    assert list(tmp_path.iterdir()) == []


def test_hh_harmless_imports_all_but_the_rows_that_hold_no_comparison(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    source, out = real_data("hh_harmless/pairs.jsonl.gz"), tmp_path / "pairs.jsonl"
    report = importer.import_file(file_source.read_file_rows(source), out, drop=True)
    assert (report.format, report.num_read, report.num_written, report.num_dropped) == ("hh", 1156, 1150, 6)
    assert report.rejected_path is not None
    # Counted by hand in the source: four chosen answers without a word, and two transcripts with
    # Assistant twice in a row.
    rejected = [(row["where"].rpartition(":")[2], row["field"]) for row in lines(report.rejected_path)]
    assert rejected == [
        ("87", "chosen[3].content"),
        ("517", "chosen[1].content"),
        ("668", "chosen[4].role"),
        ("764", "chosen[2].role"),
        ("926", "chosen[1].content"),
        ("1104", "chosen[1].content"),
    ]
    pairs = read_comparisons(out)
    assert len(pairs) == 1150
    assert all(
        pair.prompt[-1].role == "user" and len(pair.chosen) == len(pair.rejected) == 1 for pair in pairs
    )


def test_instructions_with_preference_import_all_but_the_equal_pairs(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    source = real_data("instructions/instruction-data-with-preference.json")
    num_equal = sum(
        row["chosen"] == row["rejected"] for row in json.loads(source.read_text(encoding="utf-8"))
    )
    report = importer.import_file(file_source.read_file_rows(source), tmp_path / "out.jsonl", drop=True)
    assert (report.format, report.kind, report.num_read) == ("alpaca", "comparison", 1100)
    assert report.num_dropped == num_equal == 6


def test_real_demonstrations_and_prompts_import_whole(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    report = importer.import_file(
        file_source.read_file_rows(real_data("instructions/instruction-data.json")), out
    )
    assert (report.format, report.kind, report.num_written) == ("alpaca", "demonstration", 1100)
    report = importer.import_file(file_source.read_file_rows(real_data("ifeval/input_data.jsonl")), out)
    assert (report.format, report.kind, report.num_written) == ("ifeval", "prompt", 541)


def test_scores_without_what_was_judged_name_the_right_export(tmp_path: Path) -> None:
    langfuse: dict[str, Any] = {
        "id": "s1",
        "traceId": "t1",
        "name": "user-feedback",
        "value": 1,
        "source": "API",
    }
    langsmith: dict[str, Any] = {
        "id": "f1",
        "run_id": "r1",
        "key": "user_score",
        "score": 0,
        "comment": "wrong",
    }
    for row in (langfuse, langsmith, langfuse | {"input": None}):
        with pytest.raises(DataError, match="1: is a score of a trace, without the question .* Export the"):
            importer.import_file(rows(row), tmp_path / "out.jsonl")


def test_a_bad_row_is_one_of_all_rows_that_were_read(tmp_path: Path) -> None:
    pair: dict[str, Any] = {"prompt": "2 + 2?", "response_1": "4", "response_2": "5", "context": None}
    tie, good, bad = (pair | {"preference_strength": strength} for strength in (0, -2, "much"))
    with pytest.raises(DataError, match="1 of 4 rows cannot be used"):
        importer.import_file(rows(tie, tie, good, bad), tmp_path / "out.jsonl")


def test_equal_prompts_with_other_references_are_kept_and_counted(tmp_path: Path) -> None:
    values = [{"prompt": "2 + 2?", "reference": reference} for reference in ("4", "5", "4", None)]
    report = importer.import_file(rows(*values, {"prompt": "3?"}), tmp_path / "out.jsonl")
    assert (report.num_written, report.num_repeated, report.num_other_references) == (3, 2, 1)
    written = lines(tmp_path / "out.jsonl")
    assert [row.get("reference") for row in written] == ["4", "5", None]


def test_num_samples_takes_rows_at_random_in_their_order_and_counts_the_others(tmp_path: Path) -> None:
    values = [{"instruction": f"{number}?", "output": str(number)} for number in range(300)]
    report = importer.import_file(rows(*values), tmp_path / "out.jsonl", num_samples=30)
    assert (report.num_read, report.num_written) == (300, 30)
    assert report.left_out == {"rows that num_samples leaves out, at random": 270}
    numbers = [int(row["completion"][0]["content"]) for row in lines(tmp_path / "out.jsonl")]
    assert numbers == sorted(numbers) and 100 < sum(numbers) / 30 < 200  # not the first or the last rows
    report = importer.import_file(rows(*values[:2]), tmp_path / "out.jsonl", num_samples=5)
    assert (report.num_written, list(report.left_out.values())) == (2, [3])


@pytest.mark.parametrize(
    ("column", "target"),
    [("response", "completion"), ("answer", "completion"), ("reference_answer", "reference")],
)
def test_an_answer_beside_messages_is_named_in_the_option(tmp_path: Path, column: str, target: str) -> None:
    with pytest.raises(DataError, match=f"--map prompt=messages,{target}={column}[.]"):
        importer.import_file(rows({"messages": ASKED, column: "4"}), tmp_path / "out.jsonl")
    columns = column_map.parse([f"prompt=messages,{target}={column}"], [])
    importer.import_file(rows({"messages": ASKED, column: "4"}), tmp_path / "out.jsonl", columns=columns)
    assert lines(tmp_path / "out.jsonl")[0][target] == ("4" if target == "reference" else FOUR)


@pytest.mark.parametrize(
    ("row", "option"),
    [
        ({"prompt": "2 + 2?", "completion": "4"}, "prompt=background+prompt"),
        ({"instruction": "2 + 2?", "output": "4"}, "prompt=background+instruction"),
        ({"instruction": "Add.", "input": "2, 2", "output": "4"}, "prompt=background+instruction+input"),
    ],
)
def test_a_text_that_belongs_to_the_question_can_be_mapped(
    tmp_path: Path, row: dict[str, str], option: str
) -> None:
    row = row | {"background": "You are a clerk."}
    with pytest.raises(DataError, match=re.escape(f"--map {option}; or leave it out")):
        importer.import_file(rows(row), tmp_path / "out.jsonl")
    importer.import_file(rows(row), tmp_path / "out.jsonl", columns=column_map.parse([option], []))
    (written,) = lines(tmp_path / "out.jsonl")
    assert written["prompt"][0]["content"].startswith("You are a clerk.\n\n")
    assert written["completion"] == FOUR
