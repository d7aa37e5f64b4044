"""The fast ways of running a network against the plain one, on rows of the run itself, before it trains."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from fairlead.forward import decoder
from fairlead.forward.backend import Backend
from fairlead.model.policy import Policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.store.run import Run

TOLERANCE = 1e-4  # in float32: of a log-probability in nats, or of a score of order 1
# name, Fairlead's attention and norms, packed, share_prompts, chunked_logits; the plain way is what is left
WAYS = (
    ("packed", True, True, True, True),
    ("trees", False, False, True, True),
    ("rows", True, False, False, True),
    ("rows, the model's own attention", False, False, False, True),
)

Measure = Callable[[], Tensor]


@torch.no_grad()
def verify_backend(run: Run, model: Policy | ScalarModel, measure: Measure, *, what: str) -> None:
    """Keep the fastest way of running the model whose results equal the plain way's; `measure` runs it in the way that is set.

    Both are computed in float32, whatever precision the run trains in and the weights are kept in.  What was found goes to the run's
    events; a way that failed is also said on the terminal, once.
    """
    packs = model.backend.packed or decoder.supports_packing(model.network, model.device)
    wished = replace(model.backend)
    with _in_float32(model.network):
        found = _choose(run, model, measure, what, packs=packs)
    if model.backend.packed and (error := _fails_in_training(model, measure)):
        run.warn(f"{what}: packed rows cannot be used here: {error}")
        _set(model.backend, share_prompts=wished.share_prompts, fused_modules=wished.fused_modules)
        with _in_float32(model.network):
            found = _choose(run, model, measure, what, packs=False)
    left_out = [] if wished.share_prompts else ["trees: this model's attention does not take them"]
    run.event("paths", what=what, **found, left_out=left_out)


def _choose(
    run: Run, model: Policy | ScalarModel, measure: Measure, what: str, *, packs: bool
) -> dict[str, Any]:
    backend = model.backend
    wished = replace(backend)
    backend.precision = "float32"
    plain = dict(padded=True, fused_modules=False, packed=False, share_prompts=False, chunked_logits=False)
    _set(backend, **plain)
    expected = measure()
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    gaps: dict[str, float] = {}
    chosen = "plain"
    for name, fused_modules, packed, share_prompts, chunked_logits in WAYS:
        can = (
            fused_modules <= wished.fused_modules,
            packed <= packs,
            share_prompts <= wished.share_prompts,
            chunked_logits <= wished.chunked_logits,
        )
        if not all(can):
            continue
        _set(
            backend,
            padded=False,
            fused_modules=fused_modules,
            packed=packed,
            share_prompts=share_prompts,
            chunked_logits=chunked_logits,
        )
        try:
            gaps[name] = float((measure() - expected).abs().max())
        except RuntimeError as error:
            if not packed:
                raise
            run.warn(f"{what}: packed rows cannot be used here: {_first_line(error)}")
            continue
        if gaps[name] <= limit:
            chosen = name
            break
    else:
        _set(backend, **plain)
    backend.precision = wished.precision
    for name, gap in gaps.items():
        if name != chosen:
            run.warn(
                f"{what}: the fast way ({name}) differs from the plain one by {gap:.1e}, more than {limit:.1e}; it is not used."
            )
    return {"chosen": chosen, "gaps": gaps, "tolerance": limit}


def _set(backend: Backend, **ways: bool) -> None:
    for name, value in ways.items():
        setattr(backend, name, value)


def _fails_in_training(model: Policy | ScalarModel, measure: Measure) -> str:
    """Forward and backward for nothing, in the run's precision: what a compiler cannot do depends on it, and a step is too late."""
    try:
        with torch.enable_grad():
            found = measure()
            if found.requires_grad:
                found.sum().backward()
    except RuntimeError as error:
        return _first_line(error)
    finally:
        model.network.zero_grad(set_to_none=True)
        for parameter in model.trainable().values():  # a head may stand beside the network
            parameter.grad = None
    return ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def _in_float32(network: PreTrainedModel) -> Iterator[None]:
    """Inside the block weights that are kept in bfloat16 count as float32: a layer's own while it runs, so that memory for one is enough.

    Nothing is lost on the way back, because the values are those of bfloat16 all the time.
    """
    low = [p for p in network.parameters() if p.dtype == torch.bfloat16]
    ids = {id(p) for p in low}
    layers = {
        m: [p for p in m.parameters() if id(p) in ids]
        for m in network.modules()
        if isinstance(m, GradientCheckpointingLayer)
    }
    inside = {id(p) for own in layers.values() for p in own}
    outside = [p for p in low if id(p) not in inside]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: _become(layers[layer], torch.float32))
        for layer in layers
    ]
    hooks += [
        layer.register_forward_hook(lambda layer, _, __: _become(layers[layer], torch.bfloat16))
        for layer in layers
    ]
    _become(outside, torch.float32)
    try:
        yield
    finally:
        _become(outside, torch.bfloat16)
        for hook in hooks:
            hook.remove()


def _become(parameters: Iterable[nn.Parameter], dtype: torch.dtype) -> None:
    for parameter in parameters:
        parameter.data = parameter.data.to(dtype)
