from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fairlead.core import jsonl
from fairlead.store.project import create_project, load_project
from fairlead.store.run import Run, open_run
from fairlead.train import checkpoint, guard
from fairlead.train.checkpoint import State
from fairlead.train.guard import judge_step
from fairlead.train.optim import adamw, update
from fairlead.train.settings import Guard

GUARD = Guard(probe="judge", kl_budget=10.0, probe_drop=0.1, patience=2)
INACTIVE = Guard(probe="judge")


def follow(settings: Guard, measured: list[tuple[float, float]]) -> list[str]:
    """For each step's KL and probe: "best", "back to STEP", or "" if the guard does nothing."""
    remembered: dict[str, float] = {}
    outcomes = []
    for step, (kl, quality) in enumerate(measured):
        decision = judge_step(settings, remembered, step=step, kl=kl, quality=quality)
        remembered = decision.remember
        rolled_back = f"back to {remembered['best_step']}" if decision.breach else ""
        outcomes.append("best" if decision.is_best else rolled_back)
    return outcomes


def test_the_first_step_and_each_better_step_are_the_best() -> None:
    assert follow(GUARD, [(0, 0.5), (1, 0.6), (2, 0.55), (3, 0.7)]) == ["best", "best", "", "best"]


def test_a_probe_that_stays_low_rolls_back() -> None:
    # 0.1 below 0.6 is 0.5: 0.55 is within, 0.49 and 0.45 are two in a row below
    assert follow(GUARD, [(0, 0.5), (1, 0.6), (2, 0.55), (3, 0.49), (4, 0.45)]) == [
        "best",
        "best",
        "",
        "",
        "back to 1",
    ]


def test_a_single_low_measurement_does_nothing() -> None:
    assert follow(GUARD, [(0, 0.6), (1, 0.4), (2, 0.55), (3, 0.4), (4, 0.55)]) == ["best", "", "", "", ""]


def test_the_count_restarts_after_a_roll_back() -> None:
    assert follow(GUARD, [(0, 0.6), (1, 0.4), (2, 0.4), (3, 0.4), (4, 0.4)]) == [
        "best",
        "",
        "back to 0",
        "",
        "back to 0",
    ]


def test_a_step_over_the_kl_budget_rolls_back_at_once_and_is_never_the_best() -> None:
    assert follow(GUARD, [(0, 0.5), (9, 0.6), (11, 0.9), (9, 0.7)]) == ["best", "best", "back to 1", "best"]


def test_without_limits_only_the_best_is_tracked() -> None:
    assert follow(INACTIVE, [(0, 0.6), (500, 0.1), (500, 0.1), (500, 0.1), (0, 0.7)]) == [
        "best",
        "",
        "",
        "",
        "best",
    ]
    assert not INACTIVE.is_active and replace(INACTIVE, keep="best").is_active


def test_only_an_active_guard_measures_after_the_last_step() -> None:
    guards = (INACTIVE, GUARD, replace(INACTIVE, keep="best"))
    assert [settings.num_measurements(8) for settings in guards] == [8, 9, 9]


def test_the_breach_names_what_was_measured() -> None:
    remembered = {"best_step": 7, "best": 0.6, "steps_below": 1}
    breach = judge_step(GUARD, remembered, step=9, kl=12.345, quality=0.9).breach
    assert breach == "KL was 12.3 nats per answer, over the budget of 10"
    breach = judge_step(GUARD, remembered, step=9, kl=1.0, quality=0.41).breach
    assert breach == "the probe was 0.41, more than 0.1 below its best of 0.6 after step 7, 2 times in a row"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"kl_budget": -1.0}, "kl_budget = -1.0: must not be negative"),
        ({"probe_drop": -1.0}, "probe_drop = -1.0: must not be negative"),
        ({"patience": 0}, "patience = 0: must be positive"),
        ({"probe": ""}, "probe_drop = 0.1: needs a probe"),
        ({"probe": "", "probe_drop": 0.0, "keep": "best"}, "keep = 'best': needs a probe"),
    ],
)
def test_impossible_settings_are_errors(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(GUARD, **wrong)  # type: ignore[arg-type]


# ---------------------------------------------------------------- on the disk


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 0


@contextmanager
def opened(root: Path) -> Iterator[Run]:
    project = load_project(root) if (root / "fairlead.toml").exists() else create_project(root)
    with open_run(project, "toy", Config(), kind="model", quiet=True) as run:
        yield run


def fresh() -> State:
    parameters = {"a": nn.Parameter(torch.ones(3, 4)), "b": nn.Parameter(torch.ones(4))}
    return State(parameters, {"optimizer": adamw(parameters, lr=0.1)}, {"kl_coef": 0.05})


def learn(state: State, step: int) -> None:
    for parameter in state.parameters.values():
        parameter.grad = torch.sin(parameter.detach() * (step + 1))
    update(state.optimizers["optimizer"], lr=0.1, max_norm=1.0, step=step)


def bits(state: State) -> dict[str, bytes]:
    """Of weights and moments."""
    found = {name: p.detach().numpy().tobytes() for name, p in state.parameters.items()}
    entries = state.optimizers["optimizer"].state_dict()["state"]
    return found | {
        f"{i}.{key}": value.numpy().tobytes() for i, one in entries.items() for key, value in one.items()
    }


def kept(run: Run) -> list[str]:
    return sorted(path.name for path in (run.folder / "best").iterdir())


def test_a_roll_back_restores_the_bits_of_the_best_step(tmp_path: Path) -> None:
    settings = replace(GUARD, on_breach="continue")
    state = fresh()
    at_best: dict[str, bytes] = {}
    with opened(tmp_path) as run:
        for step, quality in enumerate((0.5, 0.7, 0.5, 0.4)):
            if step == 1:
                at_best = bits(state)
            breach = guard.check_step(run, settings, state, step=step, kl=1.0, quality=quality)
            assert bool(breach) == (step == 3)
            if not breach:
                learn(state, step)
        assert bits(state) == at_best
        assert kept(run) == ["step-00000001"]  # the first was better than nothing, and is not needed any more
        assert state.numbers == {
            "kl_coef": 0.1,
            "best_step": 1,
            "best": 0.7,
            "steps_below": 0,
        }  # and KL costs twice as much
        [event] = [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "rolled back"]
        assert (event["step"], event["to"], event["then"]) == (3, 1, "continuing with kl_coef 0.1")
        assert "the probe was 0.4" in event["reason"]


def test_after_the_last_step_a_roll_back_stops_the_run(tmp_path: Path) -> None:
    settings = replace(GUARD, on_breach="continue")
    state = fresh()
    with opened(tmp_path) as run:
        guard.check_step(run, settings, state, step=0, kl=0.0, quality=0.5)
        at_best = bits(state)
        learn(state, 0)
        assert (
            guard.check_step(run, settings, state, step=1, kl=11.0, quality=0.9, is_last=True)
            and bits(state) == at_best
        )
        assert state.numbers["kl_coef"] == 0.05
        [event] = [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "rolled back"]
        assert event["then"] == "stopped"


def test_a_best_step_is_kept_while_a_checkpoint_refers_to_it(tmp_path: Path) -> None:
    state = fresh()
    with opened(tmp_path) as run:
        for step, quality in enumerate((0.5, 0.6, 0.7, 0.8)):
            guard.check_step(run, GUARD, state, step=step, kl=1.0, quality=quality)
            learn(state, step)
            if step == 1:
                checkpoint.save(run, 2, state)  # whose best is that of step 1
        assert kept(run) == ["step-00000001", "step-00000003"]
    again = fresh()
    with opened(tmp_path) as run:
        start = checkpoint.restore(run, again)
        guard.remove_later_steps(run, start)
        assert start == 2 and kept(run) == ["step-00000001"]  # what came later is made again
        for quality in (0.1, 0.1):
            breach = guard.check_step(run, GUARD, again, step=start, kl=1.0, quality=quality)
        assert "after step 1" in breach


def test_an_inactive_guard_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        assert guard.check_step(run, INACTIVE, fresh(), step=0, kl=1e9, quality=-1e9) == ""
        assert not (run.folder / "best").exists()
        guard.remove_later_steps(run, 0)  # nor is there anything to tidy


def test_the_published_weights_and_the_reason(tmp_path: Path) -> None:
    state = fresh()
    with opened(tmp_path) as run:
        best: dict[str, bytes] = {}
        for step, quality in enumerate((0.5, 0.7, 0.65)):
            if step == 1:
                best = bits(state)
            guard.check_step(run, GUARD, state, step=step, kl=1.0, quality=quality)
            learn(state, step)
            run.log(step + 1, probe=quality)
        last = bits(state)
        run.log(4, probe=0.6)  # a guarded run measures what its last step left
        found = guard.load_published(run, GUARD, state, num_steps=3, breach="")
        assert (
            found == {"step": 4, "probe": 0.6, "published": {"step": 3, "why": "the last step"}}
            and bits(state) == last
        )
        found = guard.load_published(run, INACTIVE, state, num_steps=3, breach="")
        assert (
            found["published"] == {"step": 3, "why": "the last step, measured before its update"}
            and bits(state) == last
        )
        found = guard.load_published(run, replace(GUARD, keep="best"), state, num_steps=3, breach="")
        assert (
            found == {"step": 2, "probe": 0.7, "published": {"step": 1, "why": "the best by the probe, 0.7"}}
            and bits(state) == best
        )
        found = guard.load_published(run, GUARD, state, num_steps=3, breach="KL was high")
        assert found["published"] == {"step": 1, "why": "rolled back: KL was high"}
