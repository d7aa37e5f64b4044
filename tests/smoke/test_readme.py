"""The README's path from a file of pairs to a report, run from the README's own text."""

import html
import re
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.data.file_source import SourceRow, read_file_rows
from outcome import Cli

README = Path(__file__).parents[2] / "README.md"
MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
# What a model of 260,000 parameters with a context of 512 tokens and no chat template needs, and few steps.
SMALL = {
    "sft": ["template.file=plain", "too_long=drop", "batch=16"],
    "reward": ["template.file=plain", "too_long=drop", "batch=16"],
    "ppo": ["template.file=plain", "too_long=drop", "steps=1", "batch=4", "max_new_tokens=8", "trust=reward"],
    "compare": ["--max-new-tokens", "8", "--too-long", "drop"],
}


def commands() -> list[list[str]]:
    """The command lines of the section, each as words."""
    section = README.read_text(encoding="utf-8").partition("## I have a model and data")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.S)
    assert block is not None
    return [line.split() for line in block[1].replace("\\\n", " ").splitlines()]


def test_the_path_takes_ten_commands_at_most() -> None:
    assert 5 < len(commands()) <= 10


@pytest.mark.parametrize(
    "file", ["hh_harmless/pairs.jsonl.gz", "instructions/instruction-data-with-preference.json"]
)
def test_the_path_works_as_printed(
    cli: Cli,
    real_data: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
) -> None:
    source = real_data(file)
    base = source.parents[2] / "models" / "stories260k"
    if not base.exists():
        pytest.skip("no models/stories260k beside the data")
    rows = [row.value for row in islice(read_file_rows(source), 160) if isinstance(row, SourceRow)]
    jsonl.write(tmp_path / "pairs.jsonl", rows)
    shutil.copytree(base, tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    last, verdict, refused = None, "", False
    for words in commands():
        if words[1] == "init":
            assert words == ["fairlead", "init", "work", "&&", "cd", "work"]
            assert cli("init", "work").code == 0
            monkeypatch.chdir(tmp_path / "work")
            continue
        options = SMALL.get(words[2] if words[1] == "train" else words[1], [])
        last = cli(*(word.replace(MODEL, "../base") for word in words[1:]), *options)
        assert last.code == 0, (words, last.err)
        if words[1] == "compare":
            assert "was trained to raise" not in last.out and "trained on" not in last.out
            assert ("refuses the judge" in last.out) == refused
            assert f"next  {' '.join(commands()[-1])}\n" in last.out
            verdict = last.out.splitlines()[0]
        if words[1:3] == ["train", "reward"]:
            refused = "Refused: " in last.out  # the judge is the second
            assert [line for line in last.err.splitlines() if line.startswith("warning: refused")] == []
    assert last is not None and "report.html" in last.out
    report = next(Path("runs").glob("ppo-aligned-*/report.html")).read_text(encoding="utf-8")
    assert verdict.startswith("aligned wins ") and verdict in html.unescape(report)
