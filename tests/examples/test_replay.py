import json
from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.examples.replay import read_mix
from fakes import CONTEXT, policy, project_with_base


def test_demonstrations_are_trained_on_their_answers(tmp_path: Path) -> None:
    project = project_with_base(tmp_path / "project")
    actor = policy(tmp_path / "base")
    rows = read_mix(actor, project.data / "demonstrations.jsonl", source="d")
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
    rows = read_mix(actor, tmp_path / name, source="t")
    assert len(rows) > 2 and all(len(row) <= CONTEXT and all(row.trained) for row in rows)
    assert actor.text([t for row in rows for t in row.tokens]) == text.strip()


def test_a_demonstration_that_does_not_fit_is_named(tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "x"}],
        "completion": [{"role": "assistant", "content": "blue sky " * 500}],
    }
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="data/d: record 1: the conversation has"):
        read_mix(policy(tmp_path / "base"), tmp_path / "d.jsonl", source="data/d")


def test_a_file_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(DataError, match="has no rows"):
        read_mix(policy(tmp_path / "base"), tmp_path / "a.jsonl", source="a")
