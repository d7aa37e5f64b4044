import json
from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.examples.replay import read_mix
from fairlead.train.settings import LongRows
from fakes import CONTEXT, policy, project_with_base


def test_demonstrations_are_trained_on_their_answers(tmp_path: Path) -> None:
    project = project_with_base(tmp_path / "project")
    actor = policy(tmp_path / "base")
    rows = read_mix(actor, project.data / "demonstrations.jsonl", source="d").rows
    assert len(rows) == 40
    for row in rows:
        assert not row.trained[0] and row.trained[-1]
        assert actor.text(
            [t for t, trained in zip(row.tokens, row.trained, strict=True) if trained]
        ).startswith("It is ")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_text_is_trained_on_every_token_and_cut_at_the_context(tmp_path: Path, name: str) -> None:
    actor = policy(tmp_path / "base")
    text = "The sky is blue. " * 200
    (tmp_path / name).write_text(text if name.endswith("txt") else json.dumps({"text": text}) + "\n")
    rows = read_mix(actor, tmp_path / name, source="t").rows
    assert len(rows) > 2 and all(len(row) <= CONTEXT and all(row.trained) for row in rows)
    assert actor.text([t for row in rows for t in row.tokens]) == text.strip()


def test_a_demonstration_that_does_not_fit_is_named(tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "x"}],
        "completion": [{"role": "assistant", "content": "blue sky " * 500}],
    }
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(
        DataError, match="data/d: 1 row of 1 has more tokens than fit. Record 1: the conversation has"
    ):
        read_mix(policy(tmp_path / "base"), tmp_path / "d.jsonl", source="data/d")


def test_a_file_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(DataError, match="has no rows"):
        read_mix(policy(tmp_path / "base"), tmp_path / "a.jsonl", source="a")


LONG_ROWS: dict[LongRows, tuple[int, dict[str, int]]] = {
    "drop": (1, {"data/d: rows too long": 3}),
    "truncate-prompt": (2, {"data/d: rows too long": 2, "data/d: rows cut to fit": 1}),
    "truncate-answer": (2, {"data/d: rows too long": 2, "data/d: rows cut to fit": 1}),
}


@pytest.mark.parametrize("choice", LONG_ROWS)
def test_long_demonstrations_are_left_out_or_cut_and_counted(tmp_path: Path, choice: LongRows) -> None:
    words = "blue sky " * 500
    texts = [("Why?", "So."), (words, "So."), ("Why?", words), (words, words)]
    rows = [
        {"prompt": [{"role": "user", "content": a}], "completion": [{"role": "assistant", "content": b}]}
        for a, b in texts
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mix = read_mix(policy(tmp_path / "base"), tmp_path / "d.jsonl", source="data/d", too_long=choice)
    assert (len(mix.rows), mix.left_out) == LONG_ROWS[choice]
    assert all(len(row) <= CONTEXT for row in mix.rows)


def test_nothing_but_long_demonstrations_is_refused(tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "x"}],
        "completion": [{"role": "assistant", "content": "blue sky " * 500}],
    }
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="none of its 1 record fits into 256 tokens"):
        read_mix(policy(tmp_path / "base"), tmp_path / "d.jsonl", source="data/d", too_long="drop")
