"""Compare the fast backends of a network with the padded one, on rows of the run, before training.

All backends compute the same function.  A model with an unusual attention or head may still give other
results with a fast backend; the comparison finds out and selects a slower one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from fairlead.core.errors import ModelError
from fairlead.forward import decoder
from fairlead.forward.backend import Backend
from fairlead.model.check_network import FAULTS, reason
from fairlead.model.policy import Policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.store.run import Run

TOLERANCE = (
    1e-4  # in float32, relative to the largest result, but at least absolute: nats, or scores of order 1
)


class Candidate(NamedTuple):
    """A combination of `Backend` settings to try."""

    name: str  # as recorded in the run's events
    fused_modules: bool
    packed: bool
    share_prompts: bool
    chunked_logits: bool


# Fastest first.  If all fail, the padded backend remains, recorded as "plain".
CANDIDATES = (
    Candidate("packed", fused_modules=True, packed=True, share_prompts=True, chunked_logits=True),
    Candidate("trees", fused_modules=False, packed=False, share_prompts=True, chunked_logits=True),
    Candidate("rows", fused_modules=True, packed=False, share_prompts=False, chunked_logits=True),
    Candidate(
        "rows, the model's own attention",
        fused_modules=False,
        packed=False,
        share_prompts=False,
        chunked_logits=True,
    ),
)
PADDED = {
    "padded": True,
    "fused_modules": False,
    "packed": False,
    "share_prompts": False,
    "chunked_logits": False,
}

Measure = Callable[[], Tensor]


@torch.no_grad()
def verify_backend(run: Run, model: Policy | ScalarModel, measure: Measure, *, what: str) -> None:
    """Set the model's backend to the fastest one whose results equal those of the padded backend.

    `measure` runs the model with its current backend on a few rows.  Results are compared in float32,
    whatever the run's precision.  The comparison is recorded in the run's events as "paths"; a backend that
    differs is also a warning.
    """
    can_pack = model.backend.packed or decoder.supports_packing(model.network, model.device)
    allowed = replace(model.backend)
    with in_float32(model.network):
        comparison = _select(run, model, measure, what, can_pack=can_pack)
    if model.backend.packed and (error := _training_error(model, measure)):
        run.warn(f"{what}: packed rows cannot be used here: {error}")
        model.backend.share_prompts = allowed.share_prompts
        model.backend.fused_modules = allowed.fused_modules
        with in_float32(model.network):
            comparison = _select(run, model, measure, what, can_pack=False)
    left_out = [] if allowed.share_prompts else ["trees: this model's attention does not support them"]
    run.event("paths", what=what, **comparison, left_out=left_out)


def _select(
    run: Run, model: Policy | ScalarModel, measure: Measure, what: str, *, can_pack: bool
) -> dict[str, Any]:
    """Try the candidates that the model allows, fastest first, and keep the first one that agrees."""
    backend = model.backend
    allowed = replace(backend)
    backend.precision = "float32"
    _configure(backend, PADDED)
    try:
        expected = measure()
    except FAULTS as error:
        raise ModelError(f"{what}: this model cannot be run on rows with padding: {reason(error)}") from error
    if not bool(expected.isfinite().all()):
        raise ModelError(
            f"{what}: the model's own results on rows of this run are not finite numbers. Its weights are "
            "too large for float32; take an earlier checkpoint."
        )
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    gaps: dict[str, float] = {}
    selected = "plain"
    for candidate in CANDIDATES:
        is_allowed = (
            candidate.fused_modules <= allowed.fused_modules
            and candidate.packed <= can_pack
            and candidate.share_prompts <= allowed.share_prompts
            and candidate.chunked_logits <= allowed.chunked_logits
        )
        if not is_allowed:
            continue
        settings = candidate._asdict()
        name = settings.pop("name")
        _configure(backend, {"padded": False, **settings})
        try:
            gaps[name] = float((measure() - expected).abs().max())
        except FAULTS as error:
            rows = "packed rows" if candidate.packed else f"the fast backend ({name})"
            run.warn(f"{what}: {rows} cannot be used here: {_first_line(error)}")
            continue
        if gaps[name] <= limit:
            selected = name
            break
    else:
        _configure(backend, PADDED)
    backend.precision = allowed.precision
    for name, gap in gaps.items():
        if name != selected:
            run.warn(
                f"{what}: the fast backend ({name}) differs from the plain one by {gap:.1e}, more than "
                f"{limit:.1e}; "
                "it is not used."
            )
    # JSON has no NaN.
    recorded = {name: gap if math.isfinite(gap) else None for name, gap in gaps.items()}
    return {"chosen": selected, "gaps": recorded, "tolerance": limit}


def _configure(backend: Backend, settings: Mapping[str, bool]) -> None:
    for name, value in settings.items():
        setattr(backend, name, value)


def _training_error(model: Policy | ScalarModel, measure: Measure) -> str:
    """Run forward and backward once in the run's precision.

    Returns the error of a kernel that does not compile, or "".
    """
    try:
        forward_and_backward(model, measure)
    except RuntimeError as error:
        return _first_line(error)
    return ""


def forward_and_backward(model: Policy | ScalarModel, measure: Measure) -> None:
    """Compute what a training step computes, and leave no gradients."""
    try:
        with torch.enable_grad():
            result = measure()
            if result.requires_grad:
                result.sum().backward()
    finally:
        model.network.zero_grad(set_to_none=True)
        for parameter in model.trainable().values():  # the head may be outside the network
            parameter.grad = None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def in_float32(network: PreTrainedModel) -> Iterator[None]:
    """Compute with float32 weights inside the block.

    Each layer is converted only while it runs, so memory for one float32 layer suffices.  Converting back
    loses nothing, because the values are bfloat16 values throughout.
    """
    bfloat16_parameters = [p for p in network.parameters() if p.dtype == torch.bfloat16]
    ids = {id(p) for p in bfloat16_parameters}
    layers = {
        m: [p for p in m.parameters() if id(p) in ids]
        for m in network.modules()
        if isinstance(m, GradientCheckpointingLayer)
    }
    inside = {id(p) for own in layers.values() for p in own}
    outside = [p for p in bfloat16_parameters if id(p) not in inside]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: _convert(layers[layer], torch.float32))
        for layer in layers
    ]
    hooks += [
        layer.register_forward_hook(lambda layer, _, __: _convert(layers[layer], torch.bfloat16))
        for layer in layers
    ]
    _convert(outside, torch.float32)
    try:
        yield
    finally:
        _convert(outside, torch.bfloat16)
        for hook in hooks:
            hook.remove()


def _convert(parameters: Iterable[nn.Parameter], dtype: torch.dtype) -> None:
    for parameter in parameters:
        parameter.data = parameter.data.to(dtype)
