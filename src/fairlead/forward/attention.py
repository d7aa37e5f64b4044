"""Attention registered with transformers under the name "fairlead".

On a CPU attention is computed as matrix products (`matmul_attention.py`).  Packed rows on a GPU use
FlexAttention (`flex_attention.py`).  Everything else falls back to PyTorch's scaled_dot_product_attention.

B rows, H query heads, K key heads, T queries, S keys, D size of a head, C places of a packed row.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from fairlead.forward import flex_attention, matmul_attention
from fairlead.forward.matmul_attention import SpanGroup, SpanMask

NAME = "fairlead"
# Arguments that some models pass and that only the fallback supports.
UNSUPPORTED = ("position_bias", "softcap", "s_aux", "cache")


def install(network: PreTrainedModel) -> None:
    """Use this attention instead of PyTorch's.

    A network with any other attention is left alone, and so is one that compares the name of its attention
    itself instead of looking it up: under another name it would take a branch of its own.
    """
    looks_up = network._can_set_attn_implementation()
    if network.config._attn_implementation == "sdpa" and looks_up:
        network.config._attn_implementation = NAME


def uninstall(network: PreTrainedModel) -> None:
    """Return to PyTorch's attention."""
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
    """Attention in the signature that transformers expects.

    [B, H, T, D], [B, K, S, D], [B, K, S, D] -> [B, T, H, D]

    The mask is [B, 1, T, S] bool (True: attend), a BlockMask, a SpanMask, or None for causal attention.
    Raises NotImplementedError if a model passes an unsupported argument together with a packed row.
    """
    device = query.device.type
    if torch.is_autocast_enabled(device):
        query, key, value = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (query, key, value))
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    unsupported = [name for name in UNSUPPORTED if options.get(name) is not None]
    if options.get("dropout"):
        unsupported.append("dropout")
    if isinstance(attention_mask, BlockMask | SpanMask) and unsupported:
        raise NotImplementedError(f"attention over packed rows does not support {', '.join(unsupported)}")
    # The inputs are cast above; every operation below keeps their dtype.
    with torch.autocast(device, enabled=False):
        if isinstance(attention_mask, BlockMask):
            return flex_attention.attend(query, key, value, attention_mask, scale=scale), None
        if isinstance(attention_mask, SpanMask):
            return _attend_groups(query, key, value, attention_mask.groups, scale), None
        if device == "cpu" and not unsupported:
            if attention_mask is None and _is_causal(module, query, key, options):
                groups = matmul_attention.equal_length_groups(len(query), query.shape[2])
                return _attend_groups(query, key, value, groups, scale), None
            if query.shape[2] == 1 and not torch.is_grad_enabled():
                return matmul_attention.decode_step(query, key, value, attention_mask, scale=scale), None
        result, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    return result, None


def _attend_groups(
    query: Tensor, key: Tensor, value: Tensor, groups: list[SpanGroup], scale: float
) -> Tensor:
    """Concatenate the rows, attend within the groups, and separate the rows again.

    [B, H, T, D] -> [B, T, H, D]
    """
    rows, _, length, _ = query.shape
    flat_query, flat_key, flat_value = (
        tensor.transpose(1, 2).flatten(0, 1) for tensor in (query, key, value)
    )
    attended = matmul_attention.attend(flat_query, flat_key, flat_value, groups, scale=scale)
    result: Tensor = attended.unflatten(0, (rows, length))
    return result


def _is_causal(module: nn.Module, query: Tensor, key: Tensor, options: dict[str, Any]) -> bool:
    length = query.shape[2]
    num_keys = key.shape[2]
    causal = getattr(module, "is_causal", True) if options.get("is_causal") is None else options["is_causal"]
    return bool(causal and length == num_keys > 1)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
