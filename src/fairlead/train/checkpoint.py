"""Checkpoints: the state that a training step changes, in safetensors and JSON.  Nothing is pickled.

Randomness and the order of rows are functions of the seed and the step (`core.seed`), so weights, optimiser
state and a few numbers are the complete state.  A checkpoint is written atomically: it is complete or
absent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fairlead.core import files, full_disk
from fairlead.core.errors import ProjectError, Stopped
from fairlead.store.run import Run
from fairlead.train.meter import Meter

# Quantisation tables of bitsandbytes' 8-bit optimisers: name in the state of a tensor -> name in the
# optimiser.
TABLES = {"qmap1": "dynamic", "qmap2": "udynamic"}


@dataclass
class State:
    """What a recipe changes: named tensors, optimisers, and the numbers of its controllers, such as a KL
    coefficient.
    """

    parameters: Mapping[str, Tensor]
    optimizers: Mapping[str, torch.optim.Optimizer]
    numbers: dict[str, float] = field(default_factory=dict)


def restore(run: Run, state: State, *, begin: int = 0, end: int | None = None) -> int:
    """Load the run's last checkpoint into the state and drop later log rows.

    Returns the number of completed steps.

    A run that trains several states in turn passes the steps at which this state begins and ends.  An
    earlier checkpoint belongs to another state.  A later one raises ProjectError: this state was trained,
    and its result is lost.
    """
    latest = run.latest_checkpoint()
    if latest is not None and end is not None and latest[0] > end:
        raise ProjectError(
            f"{run.folder}: the model trained up to step {end} is missing, and the last checkpoint, after "
            f"step {latest[0]}, "
            "belongs to the next one. Remove this folder to start again."
        )
    if latest is None or latest[0] <= begin:
        run.rewind(begin)
        return begin
    step, folder = latest
    state.numbers.update(read(folder, state))
    run.rewind(step)
    run.event("resumed", step=step)
    return step


def save(run: Run, step: int, state: State) -> None:
    """Write a checkpoint after `step` steps, then remove older ones."""
    folder = run.checkpoint_folder(step)
    if folder.exists():
        return
    write(folder, state)
    run.prune_checkpoints(keep=1)


def write(folder: Path, state: State) -> None:
    """Write the state to a folder, atomically."""
    tensors = [*state.parameters.values()]
    tensors += [t for optimizer in state.optimizers.values() for t in _optimizer_tensors(optimizer).values()]
    full_disk.require_space(folder, sum(tensor.nbytes for tensor in tensors))
    with files.atomic_folder(folder) as temporary:
        save_file(
            {name: p.detach().contiguous() for name, p in state.parameters.items()},
            temporary / "weights.safetensors",
        )
        for name, optimizer in state.optimizers.items():
            save_file(_optimizer_tensors(optimizer), temporary / f"{name}.safetensors")
        (temporary / "numbers.json").write_text(json.dumps(state.numbers), encoding="utf-8")


def read(folder: Path, state: State) -> dict[str, float]:
    """Load parameters and optimisers from the files.

    Returns the numbers; the caller decides which to use.
    """
    weights = load_file(folder / "weights.safetensors")
    if set(weights) != set(state.parameters):
        raise ProjectError(
            f"{folder}: is a checkpoint of another model. Remove the run's folder to start again."
        )
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            parameter.copy_(weights[name])
    for name, optimizer in state.optimizers.items():
        _load_optimizer(optimizer, load_file(folder / f"{name}.safetensors"))
    return read_numbers(folder)


def read_numbers(folder: Path) -> dict[str, float]:
    numbers: dict[str, float] = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    return numbers


def save_if_due(run: Run, step: int, num_steps: int, state: State, meter: Meter, every: int) -> None:
    """Save every `every` steps, after the last step, and when the user asked to stop; then raises Stopped.

    `meter` writes down the cost since its last flush, except after the last step, where the recipe does so.
    """
    stopping = bool(run.stop) and step < num_steps
    if step % every == 0 or run.stop:
        meter.flush()
    if step % every == 0 or step == num_steps or stopping:
        save(run, step, state)
    if stopping:
        raise Stopped(
            f"Stopped after step {step} of {num_steps}; the work is saved. Run the same command again to "
            "go on."
        )


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`index.key` -> tensor.  The constant tables of an 8-bit optimiser are left out."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{index}.{key}": torch.as_tensor(value).contiguous()
        for index, parameter in enumerate(parameters)
        for key, value in optimizer.state.get(parameter, {}).items()
        if key not in TABLES
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    entries: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        entries.setdefault(int(index), {})[key] = value
    for entry in entries.values():
        if "state1" in entry:  # an 8-bit optimiser, whose step is a plain number
            entry["step"] = int(entry["step"])
        if "absmax1" in entry:
            tables: Mapping[str, Tensor] = optimizer.name2qmap  # type: ignore[attr-defined]
            entry |= {key: tables[table] for key, table in TABLES.items()}
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
