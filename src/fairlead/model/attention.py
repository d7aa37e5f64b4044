"""Which attention a network is given: matrix products on a CPU, blocks in packed rows, else PyTorch's own.

B rows, H query heads in groups of G over K key heads, T queries, S keys, D per head.  For short rows a processor's matrix products are
several times faster than the fused attention that PyTorch has for it, most of all backward; for long rows the fused one, which never
holds all T x S weights, is used.  transformers looks attention up by name: a network that says `NAME` gets this one.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from fairlead.model import flex

NAME = "fairlead"
LONGEST = {torch.bfloat16: 768, torch.float32: 448}  # keys up to which the products win; measured on two cores
UNSUPPORTED = ("position_bias", "softcap", "s_aux", "cache")  # what some models pass besides; left to transformers


def use(network: PreTrainedModel) -> None:
    """In place of PyTorch's fused attention only."""
    if network.config._attn_implementation == "sdpa":
        network.config._attn_implementation = NAME


def fused(network: PreTrainedModel) -> None:
    """Back to PyTorch's own."""
    if in_use(network):
        network.config._attn_implementation = "sdpa"


def in_use(network: PreTrainedModel) -> bool:
    return bool(network.config._attn_implementation == NAME)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    *,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """[B, H, T, D], [B, K, S, D] twice, [B, 1, T, S] bool or blocks or None: causal -> [B, T, H, D]"""
    device = query.device.type
    if torch.is_autocast_enabled(device):
        query, key, value = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (query, key, value))
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    if isinstance(attention_mask, BlockMask):
        passed = [name for name in UNSUPPORTED if options.get(name) is not None]
        if passed or options.get("dropout"):
            raise NotImplementedError(f"attention in blocks knows nothing of {', '.join(passed) or 'dropout'}")
        with torch.autocast(device, enabled=False):
            return flex.attend(query, key, value, attention_mask, scale=scale), None
    if device != "cpu" or not _suits(module, query, key, attention_mask, options):
        result, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
        return result, None
    with torch.autocast("cpu", enabled=False):
        result = _Products.apply(query, key, value, attention_mask, scale)  # type: ignore[no-untyped-call]
    return result.transpose(1, 2).contiguous(), None


def _suits(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, options: dict[str, Any]) -> bool:
    length, keys = query.shape[2], key.shape[2]
    if length == 1 or keys > LONGEST.get(query.dtype, 0) or options.get("dropout"):
        return False
    if any(options.get(name) is not None for name in UNSUPPORTED):
        return False
    causal = getattr(module, "is_causal", True) if options.get("is_causal") is None else options["is_causal"]
    return mask is not None or bool(causal and length == keys)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        (rows, heads, length, width), (_, key_heads, keys, _) = query.shape, key.shape
        group = heads // key_heads
        q = query.reshape(rows * key_heads, group * length, width)
        k, v = key.reshape(rows * key_heads, keys, width), value.reshape(rows * key_heads, keys, width)
        if mask is None:
            scores = torch.baddbmm(_causal(length, group, query.dtype), q, k.transpose(1, 2), alpha=scale)  # [B K, G T, S]
        else:
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
            apart = scores.view(rows, key_heads, group, length, keys)
            hidden = torch.finfo(scores.dtype).min  # not minus infinity: a row that may look at nothing must stay a number
            if mask.dtype == torch.bool:
                apart.masked_fill_(~mask[:, :, None], hidden)
            else:
                apart.add_(mask[:, :, None]).clamp_(min=hidden)
        weights = scores.softmax(dim=-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape)
        return torch.bmm(weights, v).view(rows, heads, length, width)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        query_shape, key_shape = ctx.shapes
        grad = grads[0].reshape(q.shape)
        grad_v = torch.bmm(weights.transpose(1, 2), grad)
        grad_weights = torch.bmm(grad, v.transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        grad_q, grad_k = torch.bmm(grad_scores, k), torch.bmm(grad_scores.transpose(1, 2), q)
        return grad_q.view(query_shape), grad_k.view(key_shape), grad_v.view(key_shape), None, None


@lru_cache(maxsize=64)
def _causal(length: int, group: int, dtype: torch.dtype) -> Tensor:
    """0 where a query may look, the lowest number elsewhere, once for each head of a group.  [1, G T, T]"""
    mask = torch.full((length, length), torch.finfo(dtype).min, dtype=dtype).triu(1)
    return mask.repeat(group, 1)[None]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
