"""The best weights: kept at the lowest loss, counted since, and brought back."""

from pathlib import Path

import torch
from torch import nn

from fairlead.loop.toy_world import Base
from fairlead.store.project import create_project
from fairlead.store.run import open_run
from fairlead.train import checkpoint, early_stopping
from fairlead.train.checkpoint import State


def fresh() -> State:
    return State(
        early_stopping.with_best_weights(
            {"a": nn.Parameter(torch.zeros(3)), "b": nn.Parameter(torch.zeros(2))}
        ),
        {},
    )


def at(state: State, value: float) -> State:
    """With every weight at this value."""
    with torch.no_grad():
        for name in ("a", "b"):
            state.parameters[name].fill_(value)
    return state


def test_the_weights_of_the_lowest_loss_come_back() -> None:
    state = fresh()
    waits = []
    for step, loss in ((10, 3.0), (20, 1.0), (30, 1.0), (40, 2.0)):  # an equal loss is no better
        early_stopping.record(at(state, step), step, loss)
        waits.append(early_stopping.num_without_progress(state))
    assert waits == [0, 0, 1, 2]
    assert early_stopping.restore_best(state) == 20
    assert state.parameters["a"].tolist() == [20.0] * 3 and state.parameters["b"].tolist() == [20.0] * 2


def test_a_checkpoint_remembers_them(tmp_path: Path) -> None:
    state = fresh()
    early_stopping.record(at(state, 1.0), 1, 5.0)
    early_stopping.record(at(state, 2.0), 2, 6.0)
    project = create_project(tmp_path)
    with open_run(project, "toy", Base(name="m"), kind="model") as run:
        checkpoint.save(run, 2, state)
    again = fresh()
    with open_run(project, "toy", Base(name="m"), kind="model") as run:
        assert checkpoint.restore(run, again) == 2
    assert early_stopping.num_without_progress(again) == 1 and again.parameters["a"].tolist() == [2.0] * 3
    assert early_stopping.restore_best(again) == 1 and again.parameters["a"].tolist() == [1.0] * 3
