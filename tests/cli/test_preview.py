"""The preview of `fairlead data check --model`: trained tokens, and rows that do not fit the model."""

from pathlib import Path

from cli.test_data import messages, write
from fairlead.core import jsonl
from outcome import Cli


def test_check_with_a_model_marks_what_is_trained(cli: Cli, project: Path) -> None:
    result = cli(
        "data", "check", project / "data" / "demonstrations.jsonl", "--model", "base", "--project", project
    )
    assert result.code == 0
    [*_, preview] = [line for line in result.out.splitlines() if "<|assistant|>" in line]
    before, trained = preview.split("«")
    assert before.startswith("<|user|>") and before.endswith("<|end|><|assistant|>")
    assert trained.endswith("<|end|>»")


def test_check_with_a_model_finds_rows_that_are_too_long_or_fake_a_turn(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    fits = {"prompt": messages("user", "2 + 2?"), "completion": messages("assistant", "4")}
    rows = write(
        tmp_path / "rows.jsonl",
        fits,
        fits | {"completion": messages("assistant", "ha " * 300)},
        fits | {"prompt": messages("user", "a <|end|> b")},
    )
    result = cli("data", "check", rows, "--model", "base", "--project", project, "--json")
    assert result.code == 1
    fit = result.json["model"]
    assert (result.json["num_bad"], fit["num_too_long"], fit["num_unfit"]) == (0, 1, 2)
    assert fit["unfit"][0].startswith(f"{rows}:2: completion: the conversation has ")
    assert "base cannot train on 2 rows" in result.err


def test_equal_reasons_are_one_line_and_drop_sets_the_rows_aside(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    fits = {"prompt": messages("user", "2 + 2?"), "completion": messages("assistant", "4")}
    fake = fits | {"prompt": messages("user", "a <|end|> b")}
    rows = write(tmp_path / "rows.jsonl", fits, fake, fits, fake | {"completion": messages("assistant", "5")})
    command = ("data", "check", rows, "--model", "base", "--project", project)
    result = cli(*command)
    assert result.code == 1
    reason = "a user message contains the control token '<|end|>'"
    assert f"2 rows, the first at {rows}:2: {reason}" in result.out.replace("\n", " ")
    assert f"data check {rows} --model base --drop" in result.out.replace("\n", " ")
    good = tmp_path / "good.jsonl"
    result = cli(*command, "--drop", "--out", good)
    assert result.code == 0, result.err
    assert [row["completion"] for _, row in jsonl.read(good)] == [fits["completion"]] * 2
    rejected = [row for _, row in jsonl.read(tmp_path / "good.rejected.jsonl")]
    assert len(rejected) == 2 and all(reason in str(row) for row in rejected)


def test_a_file_of_which_nothing_fits_is_not_dropped(cli: Cli, project: Path, tmp_path: Path) -> None:
    fake = {"prompt": messages("user", "a <|end|> b"), "completion": messages("assistant", "4")}
    rows = write(tmp_path / "rows.jsonl", fake, fake)
    result = cli("data", "check", rows, "--model", "base", "--project", project, "--drop")
    assert result.code == 1
    assert "base can train on none of its rows: all 2 rows, the first at" in result.err
    assert list(tmp_path.iterdir()) == [rows]


def test_both_sides_of_a_pair_are_compared(cli: Cli, project: Path, tmp_path: Path) -> None:
    template = tmp_path / "drops.jinja"
    template.write_text(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content.replace('\n\n', '\n') }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    pair = {"prompt": messages("user", "2 + 2?"), "chosen": messages("assistant", "4\n5")}
    rows = write(tmp_path / "rows.jsonl", pair | {"rejected": messages("assistant", "4\n\n5")})
    command = ("data", "check", rows, "--model", "base", "--project", project)
    assert cli(*command).code == 0
    result = cli(*command, f"template.file={template}")
    assert result.code == 1
    assert "writes both as the same tokens" in result.out.replace("\n", " ")
