"""The loop around training steps: which steps it takes, when it measures, and what it leaves in the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import NonFiniteStep
from fairlead.recipes import sft
from fairlead.store.run import Run, open_run
from fairlead.train.checkpoint import State
from fairlead.train.loop import TrainingLoop, training_loop
from fairlead.train.master_weights import MasterWeights
from fairlead.train.optim import adamw
from fairlead.train.setup import Prepared
from fakes import project_with_base

KEYS = [
    "name=a",
    "model=base",
    "demonstrations=data/demonstrations.jsonl",
    "lr=0.5",
    "warmup=2",
    "schedule=linear",
]


@contextmanager
def opened(root: Path, *keys: str) -> Iterator[tuple[Run, sft.Config]]:
    project = project_with_base(root)
    config = configs.load(sft.Config, None, [*KEYS, *keys])
    with open_run(project, "sft", config, kind="model", quiet=True) as run:
        yield run, config


def prepare_weight() -> tuple[torch.nn.Parameter, Prepared]:
    weight = torch.nn.Parameter(torch.ones(2))
    master_weights = MasterWeights({"weight": weight}, "float32")
    optimizer = adamw({"weight": weight}, lr=0.5)
    state = State(master_weights.parameters, {"optimizer": optimizer})
    return weight, Prepared(optimizer, master_weights, 100, state)


def take_step(loop: TrainingLoop, weight: torch.nn.Parameter) -> dict[str, float]:
    (3 * weight[0] + 4 * weight[1]).backward()
    metrics = {"loss": float(weight.detach().sum())} | loop.update()
    loop.end_step(metrics, num_tokens=7)
    return metrics


def test_a_run_takes_every_step_and_measures_at_intervals_and_at_the_end(tmp_path: Path) -> None:
    with opened(tmp_path, "measure_every=2", "checkpoints.every=3") as (run, config):
        weight, prepared = prepare_weight()
        measured = []
        with training_loop(run, prepared, config, 5) as loop:
            for step in loop:
                metrics = take_step(loop, weight)
                assert metrics["grad_norm"] == pytest.approx(5.0)
                measured += [step] if loop.measures else []
        assert measured == [1, 3, 4]
        rows = run.read_metrics()
        assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
        assert [row["lr"] for row in rows] == pytest.approx([0.25, 0.5, 0.5, 0.275, 0.05])
        latest = run.latest_checkpoint()
        assert latest is not None and latest[0] == 5
        costs = [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "cost"]
        assert sum(row["tokens"] for row in costs) == 35


def test_an_interrupted_run_continues_after_its_last_checkpoint(tmp_path: Path) -> None:
    with opened(tmp_path / "interrupted", "checkpoints.every=2") as (run, config):
        interrupted, prepared = prepare_weight()
        with pytest.raises(KeyboardInterrupt), training_loop(run, prepared, config, 4) as loop:
            for step in loop:
                if step == 3:
                    raise KeyboardInterrupt
                take_step(loop, interrupted)
        resumed, prepared = prepare_weight()
        steps = []
        with training_loop(run, prepared, config, 4) as loop:
            for step in loop:
                steps.append(step)
                take_step(loop, resumed)
        assert steps == [2, 3]
        assert [row["step"] for row in run.read_metrics()] == [1, 2, 3, 4]
    with opened(tmp_path / "undisturbed") as (run, config):
        undisturbed, prepared = prepare_weight()
        with training_loop(run, prepared, config, 4) as loop:
            for _ in loop:
                take_step(loop, undisturbed)
    assert torch.equal(undisturbed, resumed)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_move(tmp_path: Path) -> None:
    with opened(tmp_path) as (run, config):
        weight, prepared = prepare_weight()
        with pytest.raises(NonFiniteStep, match="step 1"), training_loop(run, prepared, config, 2) as loop:
            for _ in loop:
                (weight.sum() * float("inf")).backward()
                loop.update()
        assert weight.tolist() == [1.0, 1.0]
