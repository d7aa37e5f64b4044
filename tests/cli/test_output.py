"""Output of the commands: text or one JSON object, relative paths, and no control characters."""

import json
from pathlib import Path

import pytest

from fairlead.cli.output import print_note, print_result, relative_path


def test_text_names_what_was_read_and_written_and_the_next_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    print_result({}, ["2 rows."], as_json=False, read=["hub:a/b"], wrote=[tmp_path / "x.jsonl"], next="go")
    assert capsys.readouterr().out.splitlines() == ["2 rows.", "read  hub:a/b", "wrote x.jsonl", "next  go"]


def test_json_is_one_object_without_the_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"rows": 2}, ["2 rows."], as_json=True, read=["a"])
    assert json.loads(capsys.readouterr().out) == {"rows": 2, "read": ["a"], "wrote": [], "next": None}


def test_a_path_is_relative_only_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_path(tmp_path / "a" / "b") == "a/b"
    assert relative_path(tmp_path.parent / "other") == str(tmp_path.parent / "other")
    assert relative_path("hub:OWNER/NAME") == "hub:OWNER/NAME"


def test_notes_go_to_standard_error_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_note("a\x1b[2Jb")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\x1b" not in captured.err and captured.err.startswith("a")
