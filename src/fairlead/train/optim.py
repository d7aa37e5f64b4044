"""Optimisers, and one optimiser step with gradient clipping and a check for non-finite gradients.

AdamW: arXiv:1711.05101; Muon: arXiv:2502.16982; 8-bit moments: arXiv:2110.02861.  Learning rates are in
`schedule.py`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import nn

from fairlead.core.errors import NonFiniteStep
from fairlead.model import quantize
from fairlead.train.master_weights import MasterWeights


def adamw(
    parameters: Mapping[str, nn.Parameter],
    *,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    bits: Literal[8, 32] = 32,
) -> torch.optim.Optimizer:
    """AdamW over named parameters.  Biases and norms (one-dimensional) are not decayed.

    bits=8 stores the moments of tensors with at least 4,096 elements in 8 bits, scaled in blocks of 256.  It
    needs bitsandbytes.
    """
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if bits == 8:
        library = quantize.require_bitsandbytes("optim.bits = 8")
        optimizer: torch.optim.Optimizer = library.optim.AdamW8bit(groups, lr=lr, betas=betas, eps=eps)
        return optimizer
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def adamw_alone(parameters: Mapping[str, nn.Parameter], **settings: Any) -> dict[str, torch.optim.Optimizer]:
    """AdamW for all parameters, with the return type of `muon`."""
    return {"adamw": adamw(parameters, **settings)}


def muon(
    parameters: Mapping[str, nn.Parameter],
    *,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices between embedding and head, AdamW for all other parameters.

    Muon's update is scaled to the size of AdamW's (0.2·√max(rows, columns)), so both use one learning rate.
    """
    inner = {
        name: p for name, p in parameters.items() if p.dim() == 2 and not re.search(r"embed|lm_head", name)
    }
    outer = {name: p for name, p in parameters.items() if name not in inner}
    return {
        "muon": torch.optim.Muon(
            inner.values(), lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        "adamw": adamw(outer, lr=lr, weight_decay=weight_decay, betas=betas),
    }


def update(
    *optimizers: torch.optim.Optimizer,
    lr: float,
    max_norm: float,
    step: int,
    master_weights: MasterWeights | None = None,
) -> float:
    """Clip the gradients, step, and clear the gradients.  Returns the norm before clipping.

    With `master_weights`, clipping and stepping happen in float32 on the master weights.
    Raises NonFiniteStep for a non-finite norm, before any weight changes.
    """
    norm = clip_gradients(*optimizers, max_norm=max_norm, step=step, master_weights=master_weights)
    take_step(*optimizers, lr=lr, master_weights=master_weights)
    return norm


def clip_gradients(
    *optimizers: torch.optim.Optimizer,
    max_norm: float,
    step: int,
    master_weights: MasterWeights | None = None,
) -> float:
    """The first half of `update`.

    Recipes with several networks check all norms before any network changes.
    """
    if master_weights is not None:
        master_weights.take_gradients()
    norm = float(nn.utils.clip_grad_norm_(_parameters(optimizers), max_norm))
    if not norm < float("inf"):
        raise NonFiniteStep(
            f"step {step}: the gradient norm is {norm}. The weights are unchanged. "
            "Resume with a lower lr, or look for faulty rows with `fairlead data check`."
        )
    return norm


def take_step(
    *optimizers: torch.optim.Optimizer, lr: float, master_weights: MasterWeights | None = None
) -> None:
    """The second half of `update`: step with the clipped gradients."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if master_weights is not None:
        master_weights.copy_to_weights()


def _parameters(optimizers: Iterable[torch.optim.Optimizer]) -> Iterable[nn.Parameter]:
    return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
