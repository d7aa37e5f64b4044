"""The guard of a PPO or GRPO run: it keeps the best weights, and rolls back when the run drifts too far or
gets worse.

A step measures the weights before its own update, and a guarded run measures once more after its last step.
The best weights so far are kept in `best/`, beside the checkpoints.  They are loaded again when KL exceeds
its budget, or when the probe stays below its best. `judge_step` decides and is pure; `check_step` acts on the
decision.  What the guard remembers are numbers in the run's checkpoints, so a resumed run decides the same.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fairlead.core import files
from fairlead.core.plural import counted
from fairlead.store.run import Run
from fairlead.train import checkpoint
from fairlead.train.checkpoint import State
from fairlead.train.settings import Guard

KL_COEF_FACTOR = 2.0  # multiplies kl_coef when a run continues after a roll back
REMEMBERED = ("best_step", "best", "steps_below")


class Decision(NamedTuple):
    remember: dict[str, float]  # best_step, best, steps_below
    is_best: bool  # the measured weights are the best so far
    breach: str  # why the run has to be rolled back; empty if it need not be


def judge_step(
    guard: Guard, remembered: Mapping[str, float], *, step: int, kl: float | None, quality: float
) -> Decision:
    """Judge the weights after `step` steps by their KL and their quality.

    `quality` is the probe's score, or without a probe the reward.  It must not contain coefficients that
    change during the run.  A step over the KL budget is never the best.
    """
    best_step = remembered.get("best_step")
    best = remembered.get("best")
    if best_step is None or best is None:
        return Decision(_memory(step, quality), True, "")
    if guard.kl_budget and kl is not None and kl > guard.kl_budget:
        breach = f"KL was {kl:.3g} nats per answer, over the budget of {guard.kl_budget:g}"
        return Decision(_memory(best_step, best), False, breach)
    if quality > best:
        return Decision(_memory(step, quality), True, "")
    if not guard.probe_drop or quality >= best - guard.probe_drop:
        return Decision(_memory(best_step, best), False, "")
    steps_below = int(remembered.get("steps_below", 0)) + 1
    if steps_below < guard.patience:
        return Decision(_memory(best_step, best, steps_below), False, "")
    breach = (
        f"the probe was {quality:.3g}, more than {guard.probe_drop:g} below its best of {best:.3g} "
        f"after step {best_step:.0f}, {counted(steps_below, 'time')} in a row"
    )
    return Decision(_memory(best_step, best), False, breach)


def _memory(best_step: float, best: float, steps_below: int = 0) -> dict[str, float]:
    return {"best_step": best_step, "best": best, "steps_below": steps_below}


def check_step(
    run: Run,
    guard: Guard,
    state: State,
    *,
    step: int,
    kl: float | None,
    quality: float,
    is_last: bool = False,
) -> str:
    """Keep the present weights if they are the best, or load the best into the state.

    Returns the reason of a roll back, or an empty string.  If the run continues after a roll back, `kl_coef`
    in `state.numbers` is raised; after the last step no run continues.
    """
    if not guard.is_active:
        return ""
    remembered = {name: state.numbers[name] for name in REMEMBERED if name in state.numbers}
    decision = judge_step(guard, remembered, step=step, kl=kl, quality=quality)
    state.numbers.update(decision.remember)
    if decision.is_best:
        _keep(run, step, state)
    if decision.breach:
        best_step = int(decision.remember["best_step"])
        # Loads weights and optimisers.  Multipliers and kl_coef keep their present values.
        checkpoint.read(_folder(run, best_step), state)
        outcome = "stopped"
        if guard.on_breach == "continue" and not is_last:
            state.numbers["kl_coef"] *= KL_COEF_FACTOR
            outcome = f"continuing with kl_coef {state.numbers['kl_coef']:.3g}"
        run.event("rolled back", step=step, to=best_step, reason=decision.breach, then=outcome)
        run.warn(
            f"guard: after step {step}: {decision.breach}; rolled back to the weights after step "
            f"{best_step}, {outcome}."
        )
    return decision.breach


def remove_later_steps(run: Run, start: int) -> None:
    """Before a run resumes at step `start`: delete kept steps that the run has yet to reach again."""
    files.remove_leftovers(run.folder / "best")
    for step in _kept_steps(run):
        if step >= start:
            shutil.rmtree(_folder(run, step))


def load_published(run: Run, guard: Guard, state: State, *, num_steps: int, breach: str) -> dict[str, Any]:
    """Load the weights to publish into the state.

    Returns their metrics; `published` says which step they are from and why.  An unguarded run does not
    measure its last weights: the metrics are then those before the last update.
    """
    rows = run.read_metrics()
    if not breach and guard.keep == "last":
        why = "the last step" if guard.is_active else "the last step, measured before its update"
        return rows[-1] | {"published": {"step": num_steps, "why": why}}
    best_step = int(state.numbers["best_step"])
    checkpoint.read(_folder(run, best_step), state)
    why = f"rolled back: {breach}" if breach else f"the best by the probe, {state.numbers['best']:.3g}"
    run.event("published", step=best_step, why=why)
    # Step n + 1 measures, before its update, the weights after n steps.
    measured = next(row for row in rows if row["step"] == best_step + 1)
    return measured | {"published": {"step": best_step, "why": why}}


def _keep(run: Run, step: int, state: State) -> None:
    """Write the state to disk and delete older ones, except the one that the last checkpoint refers to: a
    resumed run may load it.
    """
    checkpoint.write(_folder(run, step), state)
    latest = run.latest_checkpoint()
    needed = {step} if latest is None else {step, checkpoint.read_numbers(latest[1]).get("best_step")}
    for kept_step in _kept_steps(run):
        if kept_step not in needed:
            folder = _folder(run, kept_step)
            # Rename first, so that an interrupted deletion leaves no half folder under a complete one's name.
            doomed = folder.with_name(f".{folder.name}.part-dead")
            folder.rename(doomed)
            shutil.rmtree(doomed)


def _folder(run: Run, step: int) -> Path:
    return run.folder / "best" / f"step-{step:08d}"


def _kept_steps(run: Run) -> list[int]:
    folders = (run.folder / "best").glob("step-*")
    return sorted(int(folder.name[5:]) for folder in folders if re.fullmatch(r"step-\d+", folder.name))
