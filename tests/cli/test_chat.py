"""`fairlead chat`: turns, resets and full contexts."""

import io
from pathlib import Path

import pytest

from outcome import Cli


def test_chat_answers_each_line_and_can_forget(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["chat", "sft", "--max-new-tokens", "4", "--temperature", "0", "--project", project]
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n\nHi\n/reset\nHi\n/quit\nnever result\n"))
    turns = cli(*words, "--json").json["turns"]
    assert [turn["user"] for turn in turns] == ["Hi", "Hi", "Hi"]
    assert turns[0] == turns[2]  # at temperature 0, and with the history forgotten
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n"))
    result = cli(*words)
    assert result.code == 0
    assert result.out == turns[0]["assistant"] + "\n"


def test_chat_says_when_the_context_is_full(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ha " * 300 + "\nHi <|end|>\n"))
    result = cli("chat", "base", "--max-new-tokens", "4", "--project", project)
    assert (result.code, result.out) == (0, "")
    assert "filled the model's 256 tokens" in result.err and "control token" in result.err


def test_chat_outside_of_a_project_takes_a_folder(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n"))
    assert cli("chat", project / "artifacts" / "model" / "base", "--max-new-tokens", "2").code == 0
    result = cli("chat", "base")
    assert result.code == 1
    assert result.err.startswith("ProjectError  'base': no such folder, and ")
