"""Guards that act: a run of reinforcement learning remembers its best step, and goes back to it when it goes too far or gets worse.

What a step measures is true of the weights that it begins with, before it learns; a guarded run measures once more when its last step
has learned.  Where the weights are the best so far they are kept on the disk, in `best/` beside the checkpoints; where KL passes its budget
or the probe stays below its best, they are loaded again.  `watch` decides and is pure; `act` does it.  What is remembered are numbers in
the run's checkpoints, so that a resumed run decides the same.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fairlead.core import files
from fairlead.core.errors import require
from fairlead.store.run import Run
from fairlead.train import checkpoint
from fairlead.train.checkpoint import State

KL_RAISE = 2.0  # a run that goes on after it was rolled back pays so many times more for KL
REMEMBERED = ("best_step", "best", "steps_below")

Breach = Literal["stop", "continue"]
Keep = Literal["last", "best"]


@dataclass(frozen=True)
class Limits:
    """What a run may do.  0 sets no limit."""

    kl_budget: float  # nats per answer
    probe_drop: float  # how far the probe may lie below its best
    patience: int  # measurements in a row that the probe may do so
    on_breach: Breach
    keep: Keep
    has_probe: bool
    kl_coef: float

    def __post_init__(self) -> None:
        require(self.kl_budget >= 0, "kl_budget", self.kl_budget, "must not be negative; 0 sets no budget")
        require(
            self.probe_drop >= 0, "probe_drop", self.probe_drop, "must not be negative; 0 lets the probe fall"
        )
        require(self.patience > 0, "patience", self.patience, "must be positive")
        require(not self.probe_drop or self.has_probe, "probe_drop", self.probe_drop, "needs a probe")
        require(
            self.keep == "last" or self.has_probe, "keep", self.keep, "needs a probe, which says what is best"
        )
        raises = self.on_breach == "stop" or self.kl_coef > 0
        require(raises, "on_breach", self.on_breach, "needs a kl_coef above 0, which is what it raises")

    @property
    def watching(self) -> bool:
        return self.kl_budget > 0 or self.probe_drop > 0 or self.keep == "best"

    def rounds(self, num_steps: int) -> int:
        """How often the run measures: before each step, and where it is watched once more, after the last one."""
        return num_steps + self.watching


def limits_of(config: Any) -> Limits:
    """What PPO's or GRPO's knobs say of them; what cannot be is refused."""
    kept = (config.kl_budget, config.probe_drop, config.patience, config.on_breach, config.keep)
    return Limits(*kept, has_probe=bool(config.probe), kl_coef=config.kl_coef)


class Watched(NamedTuple):
    seen: dict[str, float]  # what to remember
    is_best: bool  # the weights that the step began with are the best so far
    reason: str  # to go back to the best; empty while all is well


def watch(
    limits: Limits, seen: Mapping[str, float], *, step: int, kl: float | None, measure: float
) -> Watched:
    """What the measurements of the weights after `step` steps mean.

    `measure` is the probe's score, or without a probe what the run's own judges say; never a figure with a price in it that moves during
    the run.  A step over the KL budget is never the best.
    """
    best_step, best, below = seen.get("best_step"), seen.get("best"), int(seen.get("steps_below", 0))
    if best_step is None or best is None:
        return Watched({"best_step": step, "best": measure, "steps_below": 0}, True, "")
    if limits.kl_budget and kl is not None and kl > limits.kl_budget:
        reason = f"KL was {kl:.3g} nats per answer, over the budget of {limits.kl_budget:g}"
        return Watched({"best_step": best_step, "best": best, "steps_below": 0}, False, reason)
    if measure > best:
        return Watched({"best_step": step, "best": measure, "steps_below": 0}, True, "")
    below = below + 1 if limits.probe_drop and measure < best - limits.probe_drop else 0
    if below < limits.patience:
        return Watched({"best_step": best_step, "best": best, "steps_below": below}, False, "")
    reason = (
        f"the probe was {measure:.3g}, more than {limits.probe_drop:g} below its best of {best:.3g} after step {best_step:.0f}, "
        f"{below} times in a row"
    )
    return Watched({"best_step": best_step, "best": best, "steps_below": 0}, False, reason)


def act(
    run: Run, limits: Limits, state: State, *, step: int, kl: float | None, measure: float, over: bool = False
) -> str:
    """Keep the present weights as the best, or bring the best back into the state; returns why it did that, or nothing.

    `state.numbers` has the run's `kl_coef`, which is raised where the run is to go on; it does not where it is `over`.
    """
    if not limits.watching:
        return ""
    remembered = {name: state.numbers[name] for name in REMEMBERED if name in state.numbers}
    watched = watch(limits, remembered, step=step, kl=kl, measure=measure)
    state.numbers.update(watched.seen)
    if watched.is_best:
        _keep(run, step, state)
    if watched.reason:
        best_step = int(watched.seen["best_step"])
        checkpoint.read(
            _folder(run, best_step), state
        )  # weights and optimisers; the controllers' numbers stay as they are
        goes_on = limits.on_breach == "continue" and not over
        if goes_on:
            state.numbers["kl_coef"] *= KL_RAISE
        then = f"going on with kl_coef {state.numbers['kl_coef']:.3g}" if goes_on else "stopped"
        text = f"after step {step}: {watched.reason}; back to the weights after step {best_step}, and {then}."
        run.event("rolled back", step=step, to=best_step, reason=watched.reason, then=then)
        run.warn(f"guard: {text}")
    return watched.reason


def tidy(run: Run, start: int) -> None:
    """Before a run goes on from step `start`: the best steps that it has not come to yet will be made again."""
    files.remove_leftovers(run.folder / "best")
    for step in _kept(run):
        if step >= start:
            shutil.rmtree(_folder(run, step))


def publish_best(run: Run, limits: Limits, state: State, *, num_steps: int, stopped: str) -> dict[str, Any]:
    """Bring the weights that are to be published into the state; returns their measurements, and of which step they are and why.

    The last weights of a run that nobody watched were never measured: the figures are those from before the last step.
    """
    rows = run.read_metrics()
    if not stopped and limits.keep == "last":
        why = "the last step" if limits.watching else "the last step, measured before it learned"
        return rows[-1] | {"published": {"step": num_steps, "why": why}}
    best_step = int(state.numbers["best_step"])
    checkpoint.read(_folder(run, best_step), state)
    why = f"rolled back: {stopped}" if stopped else f"the best by the probe, {state.numbers['best']:.3g}"
    run.event("published", step=best_step, why=why)
    # What step n + 1 measured before it learned is true of the weights after n steps.
    measured = next(row for row in rows if row["step"] == best_step + 1)
    return measured | {"published": {"step": best_step, "why": why}}


def _keep(run: Run, step: int, state: State) -> None:
    """The state on the disk.  Older ones go, but that which the last checkpoint refers to: a resumed run may ask for it."""
    checkpoint.write(_folder(run, step), state)
    latest = run.latest_checkpoint()
    needed = {step} if latest is None else {step, checkpoint.read_numbers(latest[1]).get("best_step")}
    for other in _kept(run):
        if other not in needed:
            folder = _folder(run, other)
            dead = folder.with_name(
                f".{folder.name}.part-dead"
            )  # so that half a folder never has a whole one's name
            folder.rename(dead)
            shutil.rmtree(dead)


def _folder(run: Run, step: int) -> Path:
    return run.folder / "best" / f"step-{step:08d}"


def _kept(run: Run) -> list[int]:
    folders = (run.folder / "best").glob("step-*")
    return sorted(int(folder.name[5:]) for folder in folders if re.fullmatch(r"step-\d+", folder.name))
