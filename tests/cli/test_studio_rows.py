"""Judgements of a campaign as files: a snapshot for training, and everything that was said."""

from pathlib import Path

import pytest

from cli.studio_database import add_judgements
from fairlead.core import jsonl
from labels import build
from outcome import Cli

pytestmark = pytest.mark.slow  # they create whole studios


def test_a_full_export_from_the_command_line(home: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("studio", "status", "--project", home).code == 0
    add_judgements(home)
    command = ("studio", "export", "helpful-pairwise", "--project", home, "--out")
    result = cli(*command, tmp_path / "all.jsonl", "--json").json
    assert result["file"].endswith("all.jsonl")
    rows = [row for _, row in jsonl.read(tmp_path / "all.jsonl")]
    assert [row["row"] for row in rows].count("judgement") == 3 and len(rows) == 6
    assert cli(*command, tmp_path / "all.csv").code == 0
    assert (tmp_path / "all.csv").read_bytes().count(b"\r\n") == 7
    refused = cli(*command, tmp_path / "all.xlsx")
    assert refused.code == 1 and ".parquet" in refused.err and not (tmp_path / "all.xlsx").exists()


def test_a_snapshot_from_the_command_line(home: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("studio", "status", "--project", home).code == 0
    add_judgements(home)
    first = ("studio", "snapshot", "helpful-pairwise", "--name", "first", "--project", home)
    result = cli(*first, "--out", tmp_path / "rows.jsonl", "--json").json
    assert result["snapshot"] == "snapshot/first" and result["counts"]["files"] == {"comparisons": 3}
    assert (home / "artifacts" / "snapshot" / "first" / "manifest.json").is_file()
    assert "comparisons=snapshot/first" in result["next"]
    rows = [row for _, row in jsonl.read(tmp_path / "rows.jsonl")]
    assert [row["rater"] for row in rows] == [build.ANN] * 3
    again = cli(*first)
    assert again.code == 1 and "Choose another name" in again.err
    none = cli(
        "studio",
        "snapshot",
        "helpful-pairwise",
        "--name",
        "none",
        "--min-margin",
        "3",
        "--no-ties",
        "--project",
        home,
    )
    assert none.code == 1 and "No judgement passes" in none.err
