"""Policy-gradient losses.  B rows, T tokens.  Returns [B, T], unreduced.

Entries outside the response mask are meaningless; the caller masks and reduces.
"""

import torch
from torch import Tensor

from fairlead.ops.masked_sums import masked_sum


def ppo_clip(policy_logps: Tensor, old_logps: Tensor, advantages: Tensor, *, clip: float) -> Tensor:
    """PPO, eq. 7 of arXiv:1707.06347 as a loss.  [B, T] each -> [B, T]

    max(-A * ratio, -A * clamp(ratio, 1 - clip, 1 + clip)), with ratio = pi / pi_old.
    """
    ratio = torch.exp(policy_logps - old_logps)
    clipped = torch.clamp(ratio, 1 - clip, 1 + clip)
    return torch.maximum(-advantages * ratio, -advantages * clipped)


@torch.no_grad()
def is_clipped(policy_logps: Tensor, old_logps: Tensor, *, clip: float) -> Tensor:
    """1 where the ratio is outside [1 - clip, 1 + clip].  [B, T]"""
    return ((policy_logps - old_logps).exp() - 1).abs().gt(clip).float()


@torch.no_grad()
def update_metrics(
    policy_logps: Tensor, old_logps: Tensor, mask: Tensor, *, clip: float
) -> dict[str, Tensor]:
    """Ratio, clipped share and approximate KL of an update, summed over each row's response.

    [B, T] -> [B] each

    approx_kl = (log ratio)^2 / 2: http://joschu.net/blog/kl-approx.html
    """
    log_ratio = policy_logps - old_logps
    by_token = {
        "ratio": log_ratio.exp(),
        "clip_frac": is_clipped(policy_logps, old_logps, clip=clip),
        "approx_kl": 0.5 * log_ratio.square(),
    }
    return {name: masked_sum(values, mask) for name, values in by_token.items()}
