import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairlead.core import jsonl
from fairlead.recipes import dpo
from fairlead.store.run import Run, open_run
from fairlead.train.tensor_cache import Damaged, cached, cached_as
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


def test_changed_contents_are_noticed(run: Run) -> None:
    cached(run, "things", {"x": 1}, lambda: {"a": torch.zeros(300)})
    [path] = (run.project.cache / "things").iterdir()
    stored = bytearray(path.read_bytes())
    stored[-8] ^= 1
    path.write_bytes(stored)
    assert cached(run, "things", {"x": 1}, lambda: {"a": torch.ones(300)})["a"].sum() == 300
    assert cached(run, "things", {"x": 1}, lambda: {"a": torch.zeros(300)})["a"].sum() == 300


def test_the_files_that_were_used_last_are_kept(run: Run) -> None:
    def value(n: int) -> float:
        def compute() -> dict[str, Tensor]:
            return {"a": torch.full((1000,), float(n))}

        def same(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return tensors

        made = cached_as(run, "things", {"n": n}, compute, pack=same, unpack=same, max_bytes=9000)
        return float(made["a"][0])

    folder = run.project.cache / "things"
    for n in (1, 2):
        assert value(n) == n
    old, newer = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    os.utime(newer, (2, 2))
    os.utime(old, (1, 1))
    (folder / ".x.safetensors.part-1").write_bytes(b"of a killed process")
    os.utime(folder / ".x.safetensors.part-1", (1, 1))
    assert value(1) == 1  # it is the last one used now
    assert value(3) == 3
    assert events(run.folder) == [False, False, True, False]
    assert {path.name for path in folder.iterdir()} >= {old.name} and not newer.exists()
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_another_run_deletes_is_made_again(run: Run) -> None:
    def same(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors

    def compute() -> dict[str, Tensor]:
        return {"a": torch.ones(3)}

    def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        [path] = (run.project.cache / "things").iterdir()
        path.unlink()  # by the other run
        raise Damaged

    cached_as(run, "things", {}, compute, pack=same, unpack=same)
    assert cached_as(run, "things", {}, compute, pack=same, unpack=unpack)["a"].sum() == 3
