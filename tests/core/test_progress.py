import io
import sys

import pytest

from fairlead.core import progress


def test_a_log_file_gets_a_line_only_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("sft", 3) as meter:
        meter.advance("loss 1.0")
    assert capsys.readouterr() == ("", "")


def test_a_line_says_how_far_and_how_long_still(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.0)
    with progress.progress("sft", 5, done=2) as meter:
        meter.advance("loss 1.0")
        meter.advance("loss 0.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "sft 3/5  loss 1.0  0 s left\nsft 4/5  loss 0.5  0 s left\n"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.0)
    with progress.progress("sft", 5, quiet=True) as meter:
        meter.advance("loss 1.0")
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.progress("sft", 2) as meter:
        meter.advance("loss 1.0")
        meter.advance("loss 0.5")
    assert "sft" in terminal.getvalue() and "2/2" in terminal.getvalue() and "loss 0.5" in terminal.getvalue()
