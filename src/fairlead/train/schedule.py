"""Learning rates as pure functions of the step: nothing to save and nothing to restore.

All schedules rise linearly to `peak` over `warmup` steps.  After that `cosine` and `linear` fall to `floor *
peak` at the last step, and `constant` stays.
"""

import math

from fairlead.train.settings import Optim


def learning_rate(optim: Optim, step: int, num_steps: int) -> float:
    return _rate(optim, step, num_steps, peak=optim.lr)


def relative_rate(optim: Optim, step: int, num_steps: int) -> float:
    """The learning rate as a share of its peak, for recipes that train two networks with different peaks."""
    return _rate(optim, step, num_steps, peak=1.0)


def cosine(step: int, num_steps: int, *, peak: float, warmup: int, floor: float = 0.1) -> float:
    """Half a cosine from `peak` to `floor * peak`."""
    if step < warmup:
        return constant(step, peak=peak, warmup=warmup)
    progress = _progress(step, num_steps, warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def linear(step: int, num_steps: int, *, peak: float, warmup: int, floor: float = 0.1) -> float:
    """A straight line from `peak` to `floor * peak`."""
    if step < warmup:
        return constant(step, peak=peak, warmup=warmup)
    return peak * (1 - (1 - floor) * _progress(step, num_steps, warmup))


def constant(step: int, *, peak: float, warmup: int) -> float:
    return peak * (step + 1) / warmup if step < warmup else peak


def _rate(optim: Optim, step: int, num_steps: int, *, peak: float) -> float:
    match optim.schedule:
        case "cosine":
            return cosine(step, num_steps, peak=peak, warmup=optim.warmup)
        case "linear":
            return linear(step, num_steps, peak=peak, warmup=optim.warmup)
        case "constant":
            return constant(step, peak=peak, warmup=optim.warmup)


def _progress(step: int, num_steps: int, warmup: int) -> float:
    """0 at the end of the warm-up, 1 at the last step."""
    return min(1.0, (step - warmup) / max(1, num_steps - 1 - warmup))
