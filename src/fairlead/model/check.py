"""The fast ways of running a network against the plain one, on rows of the run itself, before it trains."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from fairlead.model import attention, fused, trunk
from fairlead.model.heads import ScalarModel
from fairlead.model.paths import Precision
from fairlead.model.policy import Policy
from fairlead.store.run import Run

TOLERANCE = 1e-4  # in float32: of a log-probability in nats, or of a score of order 1
# name, Fairlead's attention and norms, packed, share_prompts, own_logits; the plain way is what is left
WAYS = (
    ("packed", True, True, True, True),
    ("trees", False, False, True, True),
    ("rows", True, False, False, True),
    ("rows, the model's own attention", False, False, False, True),
)


@torch.no_grad()
def check_paths(run: Run, model: Policy | ScalarModel, measure: Callable[[], Tensor], *, what: str) -> None:
    """Keep the fastest way of running the model whose results equal the plain way's; `measure` runs it in the way that is set.

    Both are computed in float32, whatever precision the run trains in.  What was found goes to the run's events; a way that failed is
    also said on the terminal, once.
    """
    paths, network = model.paths, model.network
    wished, ours = replace(paths), attention.in_use(network)
    packs = wished.packed or trunk.takes_packing(network, model.device)
    paths.precision = "float32"
    paths.plain, paths.packed, paths.share_prompts, paths.own_logits = True, False, False, False
    _use(network, ours=False)
    expected = measure()
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    gaps: dict[str, float] = {}
    chosen = "plain"
    for name, own_modules, packed, share_prompts, own_logits in WAYS:
        wanted = (own_modules <= ours, packed <= packs, share_prompts <= wished.share_prompts, own_logits <= wished.own_logits)
        if not all(wanted):
            continue
        paths.plain, paths.packed, paths.share_prompts, paths.own_logits = False, packed, share_prompts, own_logits
        _use(network, ours=own_modules)
        try:
            if packed:
                _train_once(model, measure, wished.precision)
            gaps[name] = float((measure() - expected).abs().max())
        except RuntimeError as error:  # what a compiler cannot do depends on the device, and a model may want more than stretches say
            if not packed:
                raise
            run.warn(f"{what}: packed rows cannot be used here: {str(error).strip().partition(chr(10))[0]}")
            continue
        if gaps[name] <= limit:
            chosen = name
            break
    else:
        paths.plain, paths.packed, paths.share_prompts, paths.own_logits = True, False, False, False
    paths.precision = wished.precision
    for name, gap in gaps.items():
        if name != chosen:
            run.warn(f"{what}: the fast way ({name}) differs from the plain one by {gap:.1e}, more than {limit:.1e}; it is not used.")
    left_out = [] if wished.share_prompts else ["trees: this model's attention does not take them"]
    run.event("paths", what=what, chosen=chosen, gaps=gaps, tolerance=limit, left_out=left_out)


def _use(network: PreTrainedModel, *, ours: bool) -> None:
    plain = trunk.plain_network(network)
    for kind in (attention, fused):
        (kind.use if ours else kind.leave)(plain)


def _train_once(model: Policy | ScalarModel, measure: Callable[[], Tensor], precision: Precision) -> None:
    """Forward and backward for nothing: kernels are made for each precision and each direction, and the first step is too late to fail."""
    model.paths.precision = precision
    try:
        with torch.enable_grad():
            found = measure()
            if found.requires_grad:
                found.sum().backward()
    finally:
        model.paths.precision = "float32"
        model.network.zero_grad(set_to_none=True)
