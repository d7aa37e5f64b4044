"""Norms and gated activations in fewer passes over memory than as a chain of PyTorch's operations, with less kept for backward.

A module is known by what it computes, not by its name: it is given the other `forward` where the two agree on random numbers.  Under
autocast a norm answers in the type of the matrix products, into which these would turn its answer anyway.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AGREE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # largest difference on standard normal numbers


class Fused(nn.Module):
    """Marks the classes made here; the module's own class is the base after this one."""


def install(network: nn.Module) -> None:
    """On a CPU, where every pass over memory is felt."""
    if next(network.parameters()).device.type != "cpu":
        return
    for module in network.modules():
        if isinstance(module, Fused) or not _takes_one(module):
            continue
        if (
            isinstance(weight := getattr(module, "weight", None), nn.Parameter)
            and weight.dim() == 1
            and _eps(module) is not None
        ):
            _use_where_equal(module, _norm, len(weight))
        elif hasattr(module, "act_fn") and isinstance(
            width := getattr(getattr(module, "gate_proj", None), "in_features", None), int
        ):
            _use_where_equal(module, _gated, width)


def uninstall(network: nn.Module) -> None:
    """Back to the modules' own ways."""
    for module in network.modules():
        if isinstance(module, Fused):
            module.__class__ = type(module).__mro__[2]


def _takes_one(module: nn.Module) -> bool:
    """Whether one tensor is all that the module reads."""
    needed = [p for p in inspect.signature(module.forward).parameters.values() if p.default is p.empty]
    return len(needed) == 1 and needed[0].kind is needed[0].POSITIONAL_OR_KEYWORD


def _use_where_equal(module: nn.Module, forward: Callable[..., Tensor], width: int) -> None:
    own, dtype = (
        type(module),
        next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32),
    )
    x = torch.randn(4, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        expected = module(x)
        module.__class__ = _fused(own, forward)  # type: ignore[arg-type]
        limit = AGREE.get(dtype, 0.0)
        if expected.shape != x.shape or not torch.allclose(module(x), expected, rtol=limit, atol=limit):
            module.__class__ = own


@lru_cache(maxsize=64)
def _fused(own: type[nn.Module], forward: Callable[..., Tensor]) -> type[nn.Module]:
    return type(f"Fused{own.__name__}", (Fused, own), {"forward": forward})


def _eps(module: nn.Module) -> float | None:
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return float(found) if isinstance(found, float) else None


def _norm(module: nn.Module, hidden: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight: arXiv:1910.07467.  [..., H] -> [..., H]"""
    weight, eps = module.weight, _eps(module)
    assert isinstance(weight, Tensor)
    dtype = torch.promote_types(weight.dtype, hidden.dtype)
    if hidden.dtype == torch.float32 and torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
    if not torch.is_grad_enabled():
        return F.rms_norm(hidden.float(), weight.shape, weight.float(), eps).to(dtype)
    result: Tensor = _RootMeanSquare.apply(hidden, weight, eps, dtype)  # type: ignore[no-untyped-call]
    return result


def _gated(module: nn.Module, hidden: Tensor) -> Tensor:
    """down(silu(gate(x)) * up(x)): arXiv:2002.05202.  [..., H] -> [..., H]"""
    gate, up = module.gate_proj(hidden), module.up_proj(hidden)  # type: ignore
    inner = _SiluTimes.apply(gate, up) if torch.is_grad_enabled() else F.silu(gate).mul_(up)  # type: ignore
    result: Tensor = module.down_proj(inner)  # type: ignore
    return result


class _RootMeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        numbers = x.float()
        scale = (
            torch.linalg.vector_norm(numbers, dim=-1, keepdim=True)
            .square_()
            .div_(x.shape[-1])
            .add_(eps)
            .rsqrt_()
        )
        ctx.save_for_backward(x, weight, scale)
        normed: Tensor = (numbers * scale).mul_(weight).to(dtype)
        return normed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        normed, grad = x * scale, grads[0].float()
        grad_weight = (
            (grad * normed).flatten(0, -2).sum(dim=0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        )
        grad = grad * weight
        along = torch.linalg.vecdot(grad, normed).div_(x.shape[-1]).unsqueeze(-1)
        return grad.sub_(normed.mul_(along)).mul_(scale).to(x.dtype), grad_weight, None, None


class _SiluTimes(torch.autograd.Function):
    """silu(gate) * up, of which silu(gate) is computed again in backward."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grads[0] * up, gate), F.silu(gate).mul_(grads[0])
