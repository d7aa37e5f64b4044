"""The fast ways of running a network against the plain one, on rows of the run itself, before it trains."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from fairlead.model import attention
from fairlead.model.heads import ScalarModel
from fairlead.model.policy import Policy
from fairlead.store.run import Run

TOLERANCE = 1e-4  # in float32: of a log-probability in nats, or of a score of order 1
# name, attention as matrix products, share_prompts, own_logits; the plain way is what is left
WAYS = (
    ("trees", True, True, True),
    ("trees, the model's own attention", False, True, True),
    ("rows", True, False, True),
    ("rows, the model's own attention", False, False, True),
)


@torch.no_grad()
def check_paths(run: Run, model: Policy | ScalarModel, measure: Callable[[], Tensor], *, what: str) -> None:
    """Keep the fastest way of running the model whose results equal the plain way's; `measure` runs it in the way that is set.

    Both are computed in float32, whatever precision the run trains in and the weights are kept in.  What was found goes to the run's
    events; a way that failed is also said on the terminal, once.
    """
    with _in_float32(model.network):
        _choose(run, model, measure, what)


def _choose(run: Run, model: Policy | ScalarModel, measure: Callable[[], Tensor], what: str) -> None:
    paths, network = model.paths, model.network
    wished, products = replace(paths), attention.in_use(network)
    paths.precision = "float32"
    paths.plain, paths.share_prompts, paths.own_logits = True, False, False
    attention.fused(network)
    expected = measure()
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    gaps: dict[str, float] = {}
    chosen = "plain"
    for name, as_products, share_prompts, own_logits in WAYS:
        if as_products > products or share_prompts > wished.share_prompts or own_logits > wished.own_logits:
            continue
        paths.plain, paths.share_prompts, paths.own_logits = False, share_prompts, own_logits
        (attention.use if as_products else attention.fused)(network)
        gaps[name] = float((measure() - expected).abs().max())
        if gaps[name] <= limit:
            chosen = name
            break
    else:
        paths.plain, paths.share_prompts, paths.own_logits = True, False, False
    paths.precision = wished.precision
    for name, gap in gaps.items():
        if name != chosen:
            run.warn(f"{what}: the fast way ({name}) differs from the plain one by {gap:.1e}, more than {limit:.1e}; it is not used.")
    left_out = [] if wished.share_prompts else ["trees: this model's attention does not take them"]
    run.event("paths", what=what, chosen=chosen, gaps=gaps, tolerance=limit, left_out=left_out)


@contextmanager
def _in_float32(network: PreTrainedModel) -> Iterator[None]:
    """Inside the block weights that are kept in bfloat16 count as float32: a layer's own while it runs, so that memory for one is enough.

    Nothing is lost on the way back, because the values are those of bfloat16 all the time.
    """
    low = [p for p in network.parameters() if p.dtype == torch.bfloat16]
    ids = {id(p) for p in low}
    layers = {m: [p for p in m.parameters() if id(p) in ids] for m in network.modules() if isinstance(m, GradientCheckpointingLayer)}
    inside = {id(p) for own in layers.values() for p in own}
    outside = [p for p in low if id(p) not in inside]
    hooks = [layer.register_forward_pre_hook(lambda layer, _: _become(layers[layer], torch.float32)) for layer in layers]
    hooks += [layer.register_forward_hook(lambda layer, _, __: _become(layers[layer], torch.bfloat16)) for layer in layers]
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
