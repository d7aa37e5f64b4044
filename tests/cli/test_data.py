"""`fairlead data`: malformed rows of every kind, import, check and split."""

import json
from pathlib import Path
from typing import Any

import pytest

from outcome import Cli


def messages(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


QUESTION = messages("user", "2 + 2?")
GOOD = {"prompt": QUESTION, "chosen": messages("assistant", "4"), "rejected": messages("assistant", "5")}
MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def write(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


# what is wrong -> the row, and what the sentence must say
MALFORMED = {
    "broken JSON": ('{"prompt": [], "chosen": ', "not valid JSON"),
    "wrong role order": ({"messages": list(reversed(MESSAGES))}, "messages[0]"),
    "empty answer": (GOOD | {"chosen": messages("assistant", " ")}, "chosen"),
    "chosen = rejected": (GOOD | {"rejected": messages("assistant", "4")}, "chosen and rejected"),
    "missing field": ({"prompt": QUESTION, "chosen": messages("assistant", "4")}, "rejected"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_import_refuses_a_malformed_row_and_writes_nothing(cli: Cli, tmp_path: Path, name: str) -> None:
    row, words = MALFORMED[name]
    good = {"messages": MESSAGES} if isinstance(row, dict) and "messages" in row else GOOD
    rows = write(tmp_path / "rows.jsonl", good, row, good)
    result = cli("data", "import", rows, "--out", tmp_path / "out.jsonl")
    assert (result.code, result.out) == (1, "")
    first, last = result.err.strip().splitlines()
    assert first.startswith(f"DataError  {rows}:2:") and words in first
    assert last == "1 of 3 rows cannot be used. Nothing was written. Set them aside with --drop."
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_import_names_the_line_that_is_not_utf8(cli: Cli, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(json.dumps(GOOD).encode() + b'\n{"prompt": "caf\xe9", "chosen": "a", "rejected": "b"}\n')
    result = cli("data", "import", rows, "--out", tmp_path / "out.jsonl")
    assert result.code == 1
    assert f"{rows}:2:" in result.err and "not UTF-8" in result.err
    assert not (tmp_path / "out.jsonl").exists()


def test_training_on_a_malformed_file_is_refused_before_a_step(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.jsonl", GOOD, MALFORMED["chosen = rejected"][0])
    result = cli("train", "reward", "name=bad", "model=base", f"comparisons={rows}", "--project", project)
    assert (result.code, result.out) == (1, "")
    assert f"DataError  {rows}:2:" in result.err
    assert not (project / "artifacts" / "reward-model" / "bad").exists()


def test_check_of_a_good_file_exits_0(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "check", write(tmp_path / "rows.jsonl", GOOD))
    assert result.code == 0
    assert "1 comparison: 1 good, 0 bad." in result.out
    assert "next  fairlead data split" in result.out


def test_check_reports_the_first_twenty_of_many(cli: Cli, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", GOOD, *[GOOD | {"rejected": messages("assistant", "4")}] * 23)
    result = cli("data", "check", rows)
    assert result.code == 1
    assert result.out.count("chosen and rejected") == 20
    assert "… and 3 more." in result.out
    assert (
        result.err
        == f"DataError  {rows}: 23 of 24 rows cannot be used. Repair them, or set them aside with --drop.\n"
    )


def test_check_of_another_format_says_so_once_and_leads_to_the_import(cli: Cli, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", *[{"instruction": "Add.", "output": "4"}] * 12)
    result = cli("data", "check", rows)
    assert result.code == 1
    assert result.out.count("no kind of row has these columns") == 1
    assert f"next  fairlead data import {rows} --out data/rows.jsonl" in result.out
    assert result.err == f"DataError  {rows}: has no native row. Convert it with `fairlead data import`.\n"


def test_check_as_json_is_one_object_even_when_rows_are_bad(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "check", write(tmp_path / "rows.jsonl", GOOD, GOOD | {"chosen": []}), "--json")
    assert result.code == 1
    report = result.json
    assert (report["num_rows"], report["num_bad"], report["problems"][0]["line"]) == (2, 1, 2)


def test_check_with_drop_keeps_the_good_rows_and_exits_0(cli: Cli, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", GOOD, GOOD | {"chosen": []})
    result = cli("data", "check", rows, "--drop", "--json")
    assert result.code == 0
    assert (tmp_path / "rows.good.jsonl").read_text(encoding="utf-8") == json.dumps(GOOD) + "\n"
    [rejected] = (tmp_path / "rows.good.rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(rejected)["where"] == f"{rows}:2"
    assert len(result.json["wrote"]) == 2


def test_out_without_drop_is_refused(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "check", write(tmp_path / "rows.jsonl", GOOD), "--out", tmp_path / "out.jsonl")
    assert result.code == 1
    assert result.err.startswith("ConfigError  --out")


def test_import_says_what_it_read_and_wrote_and_what_to_do_next(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "alpaca.jsonl", {"instruction": "Add.", "input": "2 and 2", "output": "4"})
    result = cli("data", "import", "alpaca.jsonl", "--out", "rows.jsonl")
    assert result.code == 0
    assert result.out.splitlines() == [
        "Read 1 row; wrote 1 demonstration. The format is alpaca.",
        "read  alpaca.jsonl",
        "wrote rows.jsonl",
        "next  fairlead data check rows.jsonl",
        "or    fairlead train sft name=sft model=MODEL demonstrations=rows.jsonl",
    ]


def test_import_counts_what_it_dropped(cli: Cli, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", GOOD, GOOD | {"chosen": []})
    result = cli("data", "import", rows, "--out", tmp_path / "out.jsonl", "--drop", "--json")
    assert result.code == 0
    assert {key: result.json[key] for key in ("num_read", "num_written", "num_dropped")} == {
        "num_read": 2,
        "num_written": 1,
        "num_dropped": 1,
    }


def test_import_takes_a_random_sample_and_counts_the_other_rows(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(30)))
    outs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for out in outs:
        imported = cli("data", "import", source, "--out", out, "--sample", "10")
        assert "wrote 10 prompts" in imported.out
        assert "Left out 20: rows that --sample leaves out, at random." in imported.out
    assert outs[0].read_text() == outs[1].read_text()
    assert "Left out" not in cli("data", "import", source, "--out", outs[0], "--sample", "40").out


def test_an_unknown_format_gets_a_suggestion(cli: Cli, tmp_path: Path) -> None:
    result = cli(
        "data",
        "import",
        write(tmp_path / "r.jsonl", GOOD),
        "--out",
        tmp_path / "o.jsonl",
        "--format",
        "alpaka",
    )
    assert result.code == 1
    assert 'Did you mean "alpaca"?' in result.err


def test_split_puts_every_row_on_one_side(cli: Cli, tmp_path: Path) -> None:
    rows = write(
        tmp_path / "rows.jsonl", *[GOOD | {"prompt": messages("user", f"{n} + {n}?")} for n in range(40)]
    )
    train, held_out = tmp_path / "train.jsonl", tmp_path / "held_out.jsonl"
    result = cli(
        "data",
        "split",
        rows,
        "--held-out",
        "0.25",
        "--out-train",
        train,
        "--out-held-out",
        held_out,
        "--json",
    )
    assert result.code == 0
    sides = [set(path.read_text(encoding="utf-8").splitlines()) for path in (train, held_out)]
    assert (len(sides[0]), len(sides[1])) == (result.json["num_train"], result.json["num_held_out"])
    assert (
        sides[0] | sides[1] == set(rows.read_text(encoding="utf-8").splitlines()) and not sides[0] & sides[1]
    )
