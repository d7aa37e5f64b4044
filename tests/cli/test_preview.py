"""The preview of `fairlead data check --model`: trained tokens, and rows that do not fit the model."""

from pathlib import Path

from cli.test_data import messages, write
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
