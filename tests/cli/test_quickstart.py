"""`fairlead quickstart`: refused folders."""

from pathlib import Path

from outcome import Cli


def test_quickstart_refuses_a_folder_of_something_else(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    result = cli("quickstart", "--out", tmp_path)
    assert result.code == 1
    assert result.err.startswith(f"ProjectError  {tmp_path}: is not empty")
