"""Which attention a network is given: matrix products on a CPU, blocks in packed rows on a GPU, else PyTorch's own.

B rows, H query heads, K key heads, T queries, S keys, D per head.  transformers looks attention up by name: a network that says `NAME`
gets this one.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from fairlead.forward import flex_attention, matmul_attention
from fairlead.forward.matmul_attention import Group, SpanMask

NAME = "fairlead"
UNSUPPORTED = (
    "position_bias",
    "softcap",
    "s_aux",
    "cache",
)  # what some models pass besides; left to transformers


def install(network: PreTrainedModel) -> None:
    """In place of PyTorch's fused attention only."""
    if network.config._attn_implementation == "sdpa":
        network.config._attn_implementation = NAME


def uninstall(network: PreTrainedModel) -> None:
    """Back to PyTorch's own."""
    if is_installed(network):
        network.config._attn_implementation = "sdpa"


def is_installed(network: PreTrainedModel) -> bool:
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
    """[B, H, T, D], [B, K, S, D] twice; [B, 1, T, S] bool, or blocks, or stretches, or None: causal -> [B, T, H, D]"""
    device = query.device.type
    if torch.is_autocast_enabled(device):
        query, key, value = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (query, key, value))
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    passed = [name for name in UNSUPPORTED if options.get(name) is not None] + ["dropout"] * bool(
        options.get("dropout")
    )
    if isinstance(attention_mask, BlockMask | SpanMask) and passed:
        raise NotImplementedError(f"attention in packed rows knows nothing of {', '.join(passed)}")
    with torch.autocast(device, enabled=False):
        if isinstance(attention_mask, BlockMask):
            return flex_attention.attend(query, key, value, attention_mask, scale=scale), None
        if isinstance(attention_mask, SpanMask):
            return _products(query, key, value, attention_mask.groups, scale), None
        if (
            device == "cpu"
            and attention_mask is None
            and not passed
            and _is_causal(module, query, key, options)
        ):
            return _products(
                query, key, value, matmul_attention.equal_length_groups(len(query), query.shape[2]), scale
            ), None
        if device == "cpu" and query.shape[2] == 1 and not passed and not torch.is_grad_enabled():
            return matmul_attention.decode_step(query, key, value, attention_mask, scale=scale), None
        result, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    return result, None


def _products(query: Tensor, key: Tensor, value: Tensor, groups: list[Group], scale: float) -> Tensor:
    """Rows one after the other, and apart again.  [B, H, T, D] -> [B, T, H, D]"""
    rows, _, length, _ = query.shape
    flat = [tensor.transpose(1, 2).flatten(0, 1) for tensor in (query, key, value)]
    result: Tensor = matmul_attention.attend(flat[0], flat[1], flat[2], groups, scale=scale).unflatten(
        0, (rows, length)
    )
    return result


def _is_causal(module: nn.Module, query: Tensor, key: Tensor, options: dict[str, Any]) -> bool:
    length, keys = query.shape[2], key.shape[2]
    causal = getattr(module, "is_causal", True) if options.get("is_causal") is None else options["is_causal"]
    return bool(causal and length == keys > 1)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
