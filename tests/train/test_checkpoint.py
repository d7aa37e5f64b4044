import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fairlead.core.errors import ProjectError, Stopped
from fairlead.store.project import create_project, load_project
from fairlead.store.run import Run, open_run
from fairlead.train import checkpoint
from fairlead.train.checkpoint import State
from fairlead.train.meter import Meter
from fairlead.train.optim import adamw, update


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 0


@contextmanager
def opened(root: Path) -> Iterator[Run]:
    project = load_project(root) if (root / "fairlead.toml").exists() else create_project(root)
    with open_run(project, "toy", Config(), kind="model", quiet=True) as run:
        yield run


def fresh(seed: int = 0) -> State:
    """A small model with two optimisers and a controller's number."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (3, 4), "b": (4,), "c": (2, 2)}
    parameters = {
        name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()
    }
    one, other = {k: parameters[k] for k in ("a", "b")}, {"c": parameters["c"]}
    optimizers = {"optimizer": adamw(one, lr=0.1, weight_decay=0.1), "critic_optimizer": adamw(other, lr=0.1)}
    return State(parameters, optimizers, {"kl_coef": 0.05})


def train(state: State, steps: range) -> None:
    """Gradients are a function of the step and of the weights, and a number changes in every step."""
    for step in steps:
        for name, parameter in state.parameters.items():
            parameter.grad = torch.sin(parameter.detach() * (step + 1) + len(name))
        for optimizer in state.optimizers.values():
            update(optimizer, lr=0.1 / (step + 1), max_norm=1.0, step=step)
        state.numbers["kl_coef"] *= 1.1


def snapshot(state: State) -> dict[str, bytes]:
    """Every bit of it."""
    found = {f"p.{name}": p.detach().numpy().tobytes() for name, p in state.parameters.items()}
    for name, optimizer in state.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            found |= {f"{name}.{index}.{key}": value.numpy().tobytes() for key, value in entries.items()}
    return found | {name: repr(value).encode() for name, value in state.numbers.items()}


def test_a_restored_state_is_the_saved_one_bit_for_bit_and_so_is_all_that_follows(tmp_path: Path) -> None:
    whole = fresh()
    train(whole, range(3))
    with opened(tmp_path) as run:
        checkpoint.save(run, 3, whole)
    resumed = fresh(seed=9)  # other weights: everything must come from the checkpoint
    with opened(tmp_path) as run:
        assert checkpoint.restore(run, resumed) == 3
    assert snapshot(resumed) == snapshot(whole)
    assert len(snapshot(whole)) == 3 + 3 * 3 + 1  # weights; step, exp_avg and exp_avg_sq of each; the number
    train(whole, range(3, 6))
    train(resumed, range(3, 6))
    assert snapshot(resumed) == snapshot(whole)


def test_eight_bit_moments_are_restored_bit_for_bit_and_so_is_all_that_follows(tmp_path: Path) -> None:
    def fresh(seed: int) -> State:
        weight = nn.Parameter(torch.randn((64, 100), generator=torch.Generator().manual_seed(seed)))
        parameters = {"large": weight, "small": nn.Parameter(torch.ones(3))}
        return State(parameters, {"optimizer": adamw(parameters, lr=0.1, bits=8)}, {"kl_coef": 0.05})

    def snapshot(state: State) -> list[bytes]:
        entries = state.optimizers["optimizer"].state
        found = [entries[p][key] for p in state.parameters.values() for key in sorted(entries[p])]
        return [
            torch.as_tensor(value).detach().numpy().tobytes()
            for value in [*state.parameters.values(), *found]
        ]

    whole, resumed = fresh(0), fresh(9)
    train(whole, range(3))
    with opened(tmp_path) as run:
        checkpoint.save(run, 3, whole)
        saved = load_file(run.folder / "checkpoints" / "step-00000003" / "optimizer.safetensors")
    assert saved["0.state1"].dtype == torch.uint8 and saved["1.state1"].dtype == torch.float32
    with opened(tmp_path) as run:
        checkpoint.restore(run, resumed)
    assert snapshot(resumed) == snapshot(whole)
    train(whole, range(3, 6))
    train(resumed, range(3, 6))
    assert snapshot(resumed) == snapshot(whole)


def test_without_a_checkpoint_one_begins_at_zero(tmp_path: Path) -> None:
    state = fresh()
    before = snapshot(state)
    with opened(tmp_path) as run:
        run.log(1, loss=1.0)  # of a process that died before its first checkpoint
        assert checkpoint.restore(run, state) == 0
        assert run.read_metrics() == []
    assert snapshot(state) == before


def test_what_was_logged_after_the_checkpoint_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        for step in (1, 2, 3):
            run.log(step, loss=float(step))
            if step == 2:
                checkpoint.save(run, step, fresh())
    with opened(tmp_path) as run:
        checkpoint.restore(run, fresh())
        assert [row["step"] for row in run.read_metrics()] == [1, 2]
        assert '"resumed"' in (run.folder / "events.jsonl").read_text()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        checkpoint.save(run, 1, fresh())
        other = fresh()
        other.parameters = {"a": other.parameters["a"]}
        with pytest.raises(ProjectError, match="step-00000001: is a checkpoint of another model"):
            checkpoint.restore(run, other)


def test_only_the_last_checkpoint_is_kept_and_nothing_in_it_is_a_pickle(tmp_path: Path) -> None:
    state = fresh()
    train(state, range(1))
    with opened(tmp_path) as run:
        for step in (1, 2, 3):
            checkpoint.save(run, step, state)
        folder = run.folder / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["step-00000003"]
    assert sorted(path.name for path in (folder / "step-00000003").iterdir()) == [
        "critic_optimizer.safetensors",
        "numbers.json",
        "optimizer.safetensors",
        "weights.safetensors",
    ]
    assert json.loads((folder / "step-00000003" / "numbers.json").read_text()) == state.numbers


def test_checkpoints_come_when_due_and_at_the_end(tmp_path: Path) -> None:
    kept = []
    with opened(tmp_path) as run:
        for step in range(1, 8):
            checkpoint.save_if_due(run, step, 7, fresh(), Meter(run), 3)
            latest = run.latest_checkpoint()
            kept.append(latest[0] if latest else None)
    assert kept == [None, None, 3, 3, 3, 6, 7]


def test_a_request_to_stop_saves_first(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.stop.set()
        with pytest.raises(
            Stopped, match="Stopped after step 2 of 7; the work is saved. Run the same command again"
        ):
            checkpoint.save_if_due(run, 2, 7, fresh(), Meter(run), 100)
        latest = run.latest_checkpoint()
        assert latest is not None and latest[0] == 2


def test_a_request_to_stop_after_the_last_step_stops_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.stop.set()
        checkpoint.save_if_due(run, 7, 7, fresh(), Meter(run), 100)
        latest = run.latest_checkpoint()
        assert latest is not None and latest[0] == 7


def test_a_checkpoint_of_what_was_trained_before_is_not_loaded(tmp_path: Path) -> None:
    before, after = fresh(), fresh(seed=1)
    with opened(tmp_path) as run:
        for step in range(1, 5):
            run.log(step, loss=1.0)
        checkpoint.save(run, 3, before)
        assert checkpoint.restore(run, after, begin=3) == 3
        assert snapshot(after) == snapshot(fresh(seed=1)) != snapshot(before)
        assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]
        assert checkpoint.restore(run, after, begin=2) == 3 and snapshot(after) == snapshot(before)
