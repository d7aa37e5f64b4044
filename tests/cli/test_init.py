"""`fairlead init`: a new project folder."""

from pathlib import Path

import pytest

from outcome import Cli


def test_init_twice_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "p", "--json").json["project"] == str(tmp_path / "p")
    result = cli("init", tmp_path / "p")
    assert result.code == 1
    assert "already a project" in result.err


def test_the_next_command_can_be_pasted(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = "fairlead data import SOURCE --out data/rows.jsonl"
    assert f"next  cd 'my model' && {command}" in cli("init", "my model").out
    (tmp_path / "another").mkdir()
    monkeypatch.chdir(tmp_path / "another")
    assert f"next  {command}" in cli("init", ".").out
