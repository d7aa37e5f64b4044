"""The fast ways of running a network against the plain one, on rows of the run itself, before it trains."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from fairlead.model.paths import Paths
from fairlead.store.run import Run

TOLERANCE = 1e-4  # in float32: of a log-probability in nats, or of a score of order 1
WAYS = (("trees", True, True), ("chunked logits", False, True))  # name, share_prompts, own_logits; the plain way is what is left


@torch.no_grad()
def check_paths(run: Run, paths: Paths, measure: Callable[[], Tensor], *, what: str) -> None:
    """Keep the fastest way of `paths` whose results equal the plain way's; `measure` runs the network in the way that is set.

    Both are computed in float32, whatever precision the run trains in.  What was found goes to the run's events; a way that failed is
    also said on the terminal, once.
    """
    wished = replace(paths)
    paths.precision = "float32"
    paths.share_prompts = paths.own_logits = False
    paths.plain = True
    expected = measure()
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    gaps: dict[str, float] = {}
    chosen = "plain"
    for name, share_prompts, own_logits in WAYS:
        if share_prompts > wished.share_prompts or own_logits > wished.own_logits:
            continue
        paths.plain, paths.share_prompts, paths.own_logits = False, share_prompts, own_logits
        gaps[name] = float((measure() - expected).abs().max())
        if gaps[name] <= limit:
            chosen = name
            break
        run.warn(
            f"{what}: the fast way ({name}) differs from the plain one by {gaps[name]:.1e}, more than {limit:.1e}. "
            "This run goes a slower way."
        )
    else:
        paths.plain, paths.share_prompts, paths.own_logits = True, False, False
    paths.precision = wished.precision
    left_out = [] if wished.share_prompts else ["trees: this model's attention does not take them"]
    run.event("paths", what=what, chosen=chosen, gaps=gaps, tolerance=limit, left_out=left_out)
