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
from fairlead.train.guard import Limits, watch
from fairlead.train.optim import adamw, update

LIMITS = Limits(
    kl_budget=10.0, probe_drop=0.1, patience=2, on_breach="stop", keep="last", has_probe=True, kl_coef=0.05
)
FREE = replace(LIMITS, kl_budget=0.0, probe_drop=0.0)


def follow(limits: Limits, measured: list[tuple[float, float]]) -> list[str]:
    """For each step's KL and probe: "best", "back" with the step gone back to, or "" where nothing is done."""
    seen: dict[str, float] = {}
    said = []
    for step, (kl, measure) in enumerate(measured):
        watched = watch(limits, seen, step=step, kl=kl, measure=measure)
        seen = watched.seen
        said.append("best" if watched.is_best else f"back to {seen['best_step']}" if watched.reason else "")
    return said


def test_the_first_step_is_the_best_and_so_is_each_better_one() -> None:
    assert follow(LIMITS, [(0, 0.5), (1, 0.6), (2, 0.55), (3, 0.7)]) == ["best", "best", "", "best"]


def test_a_probe_that_stays_low_sends_the_run_back() -> None:
    # 0.1 below 0.6 is 0.5: 0.55 is within, 0.49 and 0.45 are two in a row below
    assert follow(LIMITS, [(0, 0.5), (1, 0.6), (2, 0.55), (3, 0.49), (4, 0.45)]) == [
        "best",
        "best",
        "",
        "",
        "back to 1",
    ]


def test_one_low_measurement_is_noise() -> None:
    assert follow(LIMITS, [(0, 0.6), (1, 0.4), (2, 0.55), (3, 0.4), (4, 0.55)]) == ["best", "", "", "", ""]


def test_the_count_begins_anew_after_going_back() -> None:
    assert follow(LIMITS, [(0, 0.6), (1, 0.4), (2, 0.4), (3, 0.4), (4, 0.4)]) == [
        "best",
        "",
        "back to 0",
        "",
        "back to 0",
    ]


def test_a_step_over_the_budget_goes_back_at_once_and_is_never_the_best() -> None:
    assert follow(LIMITS, [(0, 0.5), (9, 0.6), (11, 0.9), (9, 0.7)]) == ["best", "best", "back to 1", "best"]


def test_without_limits_there_is_nothing_but_the_best() -> None:
    assert follow(FREE, [(0, 0.6), (500, 0.1), (500, 0.1), (500, 0.1), (0, 0.7)]) == [
        "best",
        "",
        "",
        "",
        "best",
    ]
    assert not FREE.watching and replace(FREE, keep="best").watching


def test_only_a_watched_run_measures_what_its_last_step_left() -> None:
    assert (FREE.rounds(8), LIMITS.rounds(8), replace(FREE, keep="best").rounds(8)) == (8, 9, 9)


def test_the_reason_says_what_was_measured() -> None:
    seen = {"best_step": 7, "best": 0.6, "steps_below": 1}
    assert (
        watch(LIMITS, seen, step=9, kl=12.345, measure=0.9).reason
        == "KL was 12.3 nats per answer, over the budget of 10"
    )
    reason = "the probe was 0.41, more than 0.1 below its best of 0.6 after step 7, 2 times in a row"
    assert watch(LIMITS, seen, step=9, kl=1.0, measure=0.41).reason == reason


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"kl_budget": -1.0}, "kl_budget = -1.0: must not be negative"),
        ({"probe_drop": -1.0}, "probe_drop = -1.0: must not be negative"),
        ({"patience": 0}, "patience = 0: must be positive"),
        ({"has_probe": False}, "probe_drop = 0.1: needs a probe"),
        ({"has_probe": False, "probe_drop": 0.0, "keep": "best"}, "keep = 'best': needs a probe"),
        ({"on_breach": "continue", "kl_coef": 0.0}, "on_breach = 'continue': needs a kl_coef above 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(LIMITS, **wrong)  # type: ignore[arg-type]


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


def test_going_back_restores_the_bits_of_the_best_step(tmp_path: Path) -> None:
    limits, state = replace(LIMITS, on_breach="continue"), fresh()
    at_best: dict[str, bytes] = {}
    with opened(tmp_path) as run:
        for step, measure in enumerate((0.5, 0.7, 0.5, 0.4)):
            if step == 1:
                at_best = bits(state)
            reason = guard.act(run, limits, state, step=step, kl=1.0, measure=measure)
            assert bool(reason) == (step == 3)
            if not reason:
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
        assert (event["step"], event["to"], event["then"]) == (3, 1, "going on with kl_coef 0.1")
        assert "the probe was 0.4" in event["reason"]


def test_a_run_that_is_over_goes_back_and_not_on(tmp_path: Path) -> None:
    limits, state = replace(LIMITS, on_breach="continue"), fresh()
    with opened(tmp_path) as run:
        guard.act(run, limits, state, step=0, kl=0.0, measure=0.5)
        at_best = bits(state)
        learn(state, 0)
        assert (
            guard.act(run, limits, state, step=1, kl=11.0, measure=0.9, over=True) and bits(state) == at_best
        )
        assert state.numbers["kl_coef"] == 0.05
        [event] = [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "rolled back"]
        assert event["then"] == "stopped"


def test_the_best_that_a_checkpoint_refers_to_stays_until_the_next_one(tmp_path: Path) -> None:
    state = fresh()
    with opened(tmp_path) as run:
        for step, measure in enumerate((0.5, 0.6, 0.7, 0.8)):
            guard.act(run, LIMITS, state, step=step, kl=1.0, measure=measure)
            learn(state, step)
            if step == 1:
                checkpoint.save(run, 2, state)  # whose best is that of step 1
        assert kept(run) == ["step-00000001", "step-00000003"]
    again = fresh()
    with opened(tmp_path) as run:
        start = checkpoint.restore(run, again)
        guard.tidy(run, start)
        assert start == 2 and kept(run) == ["step-00000001"]  # what came later is made again
        for measure in (0.1, 0.1):
            reason = guard.act(run, LIMITS, again, step=start, kl=1.0, measure=measure)
        assert "after step 1" in reason


def test_without_limits_nothing_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        assert guard.act(run, FREE, fresh(), step=0, kl=1e9, measure=-1e9) == ""
        assert not (run.folder / "best").exists()
        guard.tidy(run, 0)  # nor is there anything to tidy


def test_what_is_published_and_why(tmp_path: Path) -> None:
    state = fresh()
    with opened(tmp_path) as run:
        best: dict[str, bytes] = {}
        for step, measure in enumerate((0.5, 0.7, 0.65)):
            if step == 1:
                best = bits(state)
            guard.act(run, LIMITS, state, step=step, kl=1.0, measure=measure)
            learn(state, step)
            run.log(step + 1, probe=measure)
        last = bits(state)
        run.log(4, probe=0.6)  # a guarded run measures what its last step left
        found = guard.publish_best(run, LIMITS, state, num_steps=3, stopped="")
        assert (
            found == {"step": 4, "probe": 0.6, "published": {"step": 3, "why": "the last step"}}
            and bits(state) == last
        )
        found = guard.publish_best(run, FREE, state, num_steps=3, stopped="")
        assert (
            found["published"] == {"step": 3, "why": "the last step, measured before it learned"}
            and bits(state) == last
        )
        found = guard.publish_best(run, replace(LIMITS, keep="best"), state, num_steps=3, stopped="")
        assert (
            found == {"step": 2, "probe": 0.7, "published": {"step": 1, "why": "the best by the probe, 0.7"}}
            and bits(state) == best
        )
        found = guard.publish_best(run, LIMITS, state, num_steps=3, stopped="KL was high")
        assert found["published"] == {"step": 1, "why": "rolled back: KL was high"}
