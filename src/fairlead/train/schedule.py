"""Learning rates as pure functions of the step: nothing to save, nothing to restore."""

import math


def cosine(step: int, num_steps: int, *, peak: float, warmup: int, floor: float = 0.1) -> float:
    """Linear to `peak` over `warmup` steps, then half a cosine down to `floor * peak` at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - 1 - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
