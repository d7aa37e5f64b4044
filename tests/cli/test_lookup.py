"""Projects and models as commands find them."""

from pathlib import Path

import pytest

from outcome import Cli


def test_a_model_that_is_not_there_gets_a_suggestion(cli: Cli, project: Path, tmp_path: Path) -> None:
    prompts = project / "data" / "prompts.jsonl"
    result = cli("sample", "bose", "--prompts", prompts, "--out", tmp_path / "a.jsonl", "--project", project)
    assert result.code == 1
    assert result.err.startswith("ProjectError  MODEL = 'bose'") and 'Did you mean "base"?' in result.err
    assert not (tmp_path / "a.jsonl").exists()


def test_commands_outside_of_a_project_say_how_to_make_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("lineage", "verify")
    assert result.code == 1
    assert "Create a project here with `fairlead init .`" in result.err
