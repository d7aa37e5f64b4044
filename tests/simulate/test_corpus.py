"""The pre-training text of the toy world."""

import subprocess
import sys
from pathlib import Path

from fairlead.core import jsonl
from fairlead.simulate import corpus, gold, world


def test_the_corpus_never_contains_a_held_out_prompt() -> None:
    rows = list(corpus.conversations(300, 0))
    assert len(rows) == 300
    assert not any(world.is_held_out(row["messages"][0]["content"]) for row in rows)
    assert rows == list(corpus.conversations(300, 0))
    assert rows != list(corpus.conversations(300, 1))
    scores = [gold.judge(*(message["content"] for message in row["messages"])).score for row in rows]
    assert 0.4 < sum(scores) / len(scores) < 0.85  # good and bad behaviour mixed


def test_the_corpus_is_written_by_its_documented_command(tmp_path: Path) -> None:
    out = tmp_path / "corpus.jsonl"
    command = [sys.executable, "-m", "fairlead.simulate.corpus", str(out), "--rows", "20", "--seed", "3"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert printed == f"wrote 20 conversations to {out}\n"
    assert [row for _, row in jsonl.read(out)] == list(corpus.conversations(20, 3))
