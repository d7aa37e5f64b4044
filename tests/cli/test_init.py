"""`fairlead init`: a new project folder."""

from pathlib import Path

from outcome import Cli


def test_init_twice_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "p", "--json").json["project"] == str(tmp_path / "p")
    result = cli("init", tmp_path / "p")
    assert result.code == 1
    assert "already a project" in result.err
