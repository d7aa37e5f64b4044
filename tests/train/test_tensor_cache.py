from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairlead.core import jsonl
from fairlead.recipes import dpo
from fairlead.store.run import Run, open_run
from fairlead.train.tensor_cache import cached
from fakes import project_with_base, train

SETTINGS = {
    "model": "base",
    "comparisons": "data/comparisons.jsonl",
    "batch": 8,
    "held_out": 0.2,
    "rank": 4,
}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    config = dpo.Config(name="made", model="base", comparisons="data/comparisons.jsonl")
    with open_run(project_with_base(tmp_path), "dpo", config, kind=dpo.KIND, quiet=True) as opened:
        yield opened


def events(folder: Path) -> list[bool]:
    return [event["found"] for _, event in jsonl.read(folder / "events.jsonl") if event["event"] == "cache"]


def test_what_was_computed_for_an_equal_key_is_read(run: Run) -> None:
    calls: list[int] = []

    def compute() -> dict[str, Tensor]:
        calls.append(1)
        return {"a": torch.arange(3.0), "b": torch.ones(2, 2).T}

    first = cached(run, "things", {"x": 1, "y": "z"}, compute)
    again = cached(run, "things", {"y": "z", "x": 1}, compute)
    assert len(calls) == 1
    assert all(torch.equal(first[name], again[name]) for name in ("a", "b"))
    cached(run, "things", {"x": 2, "y": "z"}, compute)
    assert len(calls) == 2
    assert events(run.folder) == [False, True, False]


def test_a_damaged_file_is_made_again(run: Run) -> None:
    cached(run, "things", {"x": 1}, lambda: {"a": torch.zeros(3)})
    [path] = (run.project.cache / "things").iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert cached(run, "things", {"x": 1}, lambda: {"a": torch.ones(3)})["a"].sum() == 3
    assert cached(run, "things", {"x": 1}, lambda: {"a": torch.zeros(3)})["a"].sum() == 3


def test_a_second_beta_reads_the_references_of_the_first(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    one = train(project, dpo, **SETTINGS | {"name": "one", "beta": 0.1})
    two = train(project, dpo, **SETTINGS | {"name": "two", "beta": 0.5})
    other = train(
        project, dpo, **SETTINGS | {"name": "other", "seed": 3}
    )  # another split, so other rows in another order
    assert [events(made.folder) for made in (one, two, other)] == [[False], [True], [False]]


def test_rows_meet_their_own_references(tmp_path: Path) -> None:
    # with a learning rate of nearly nothing the policy stays its reference, so every margin is nothing, in
    # every order of the rows
    made = train(project_with_base(tmp_path), dpo, **SETTINGS | {"name": "still", "lr": 1e-12, "epochs": 2})
    assert max(abs(margin) for margin in made.series("margin")) < 1e-4
