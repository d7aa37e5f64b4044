"""The best weights so far, by a loss that is measured now and then: kept in every checkpoint, so that a resumed run knows them too."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fairlead.train.checkpoint import State

KEPT = "best."  # before the name of a parameter: its value when the loss was lowest


def with_best_weights(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters, and beside each of them a copy on the CPU: as much again, of the memory and of a checkpoint."""
    return {**parameters, **{KEPT + name: p.detach().to("cpu", copy=True) for name, p in parameters.items()}}


@torch.no_grad()
def record(state: State, step: int, loss: float) -> None:
    """Remember the weights after `step` where their loss is the lowest so far; otherwise count one more measurement without progress."""
    if "best_loss" in state.numbers and loss >= state.numbers["best_loss"]:
        state.numbers["since_best"] += 1
        return
    state.numbers |= {"best_loss": loss, "best_step": step, "since_best": 0}
    for name, kept in _pairs(state).items():
        kept.copy_(state.parameters[name])


def num_without_progress(state: State) -> int:
    """How many measurements in a row, up to the last one, were no better than the best."""
    return int(state.numbers.get("since_best", 0))


@torch.no_grad()
def restore_best(state: State) -> int:
    """Put the best weights into the parameters; returns the step that they are from."""
    for name, kept in _pairs(state).items():
        state.parameters[name].copy_(kept)
    return int(state.numbers["best_step"])


def _pairs(state: State) -> dict[str, Tensor]:
    """Name of a parameter -> its kept value."""
    return {name.removeprefix(KEPT): kept for name, kept in state.parameters.items() if name.startswith(KEPT)}
