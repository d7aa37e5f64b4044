"""Early stopping: keep the weights with the lowest held-out loss.

The copies are part of every checkpoint, so a resumed run has them too.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fairlead.train.checkpoint import State

PREFIX = "best."  # + name of a parameter: its value when the loss was lowest


def with_best_weights(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters and a copy of each on the CPU.  Doubles the size of a checkpoint."""
    return {
        **parameters,
        **{PREFIX + name: p.detach().to("cpu", copy=True) for name, p in parameters.items()},
    }


@torch.no_grad()
def record(state: State, step: int, loss: float) -> None:
    """Copy the weights if `loss` is the lowest so far; otherwise count a measurement without progress."""
    if "best_loss" in state.numbers and loss >= state.numbers["best_loss"]:
        state.numbers["since_best"] += 1
        return
    state.numbers |= {"best_loss": loss, "best_step": step, "since_best": 0}
    for name, best in _best_weights(state).items():
        best.copy_(state.parameters[name])


def num_without_progress(state: State) -> int:
    """Number of consecutive measurements, up to the last one, that did not improve on the best."""
    return int(state.numbers.get("since_best", 0))


@torch.no_grad()
def restore_best(state: State) -> int:
    """Copy the best weights into the parameters.  Returns their step."""
    for name, best in _best_weights(state).items():
        state.parameters[name].copy_(best)
    return int(state.numbers["best_step"])


def _best_weights(state: State) -> dict[str, Tensor]:
    """Name of a parameter -> its best value."""
    return {
        name.removeprefix(PREFIX): best for name, best in state.parameters.items() if name.startswith(PREFIX)
    }
