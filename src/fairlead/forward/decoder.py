"""The parts of a transformers decoder that Fairlead calls directly: the last hidden states and the output
head.

This module does not choose a layout or compute losses.

R * C places of a layout, H hidden size, V vocabulary, N selected tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from torch.utils.checkpoint import checkpoint
from transformers import Cache, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from fairlead.forward import attention
from fairlead.forward.layout import Layout
from fairlead.forward.matmul_attention import SpanMask
from fairlead.ops.logprobs import Head, head_logits


def base_network(network: PreTrainedModel) -> PreTrainedModel:
    """The transformers model without the PEFT wrapper.  Adapter layers stay inside."""
    return network.get_base_model() if isinstance(network, PeftModel) else network


def longest_row(network: PreTrainedModel) -> int | None:
    """The longest input in tokens, if the model declares one.

    Where the positions of a whole batch change once its longest row passes a length (longrope, as in Phi-3),
    rows end at that length: a row beside a longer one would be read in another way than alone.
    """
    config = base_network(network).config.get_text_config()
    declared: int | None = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    original = rope.get("original_max_position_embeddings") or getattr(
        config, "original_max_position_embeddings", None
    )
    if rope.get("rope_type") == "longrope" and original and declared:
        return min(declared, int(original))
    return declared


def hidden_states(
    network: PreTrainedModel,
    layout: Layout,
    *,
    gradient_checkpointing: bool = False,
    noise: Tensor | None = None,
) -> Tensor:
    """The decoder's last hidden states, after the final norm.  [R * C, H]

    `noise` [R, C, H] is added to the embeddings.  `gradient_checkpointing` keeps only the inputs of the
    layers and recomputes the layers in the backward pass.
    """
    arguments = input_arguments(network, layout.tokens, noise)
    if layout.positions is not None:
        arguments["position_ids"] = layout.positions
    decoder = base_network(network).base_model
    with _checkpointed_layers(decoder, gradient_checkpointing and torch.is_grad_enabled()):
        mask = convert_mask(network, layout.mask)
        hidden: Tensor = decoder(attention_mask=mask, use_cache=False, **arguments)[0]
    return hidden.flatten(0, 1)


def input_arguments(network: PreTrainedModel, tokens: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
    """Arguments for the network's forward: token ids, or their embeddings plus noise."""
    if noise is None:
        return {"input_ids": tokens}
    embedded: Tensor = base_network(network).get_input_embeddings()(tokens)
    return {"inputs_embeds": embedded + noise.to(embedded.dtype)}


@contextmanager
def _checkpointed_layers(decoder: nn.Module, enabled: bool) -> Iterator[None]:
    """Recompute the decoder's layers in the backward pass.

    transformers does so for layers in training mode.  Only the layers' own flag is set, so that dropout
    inside them stays off.
    """
    if not enabled:
        yield
        return
    layers = [module for module in decoder.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.gradient_checkpointing = layer.training = True
        recompute = partial(checkpoint, use_reentrant=False)
        layer._gradient_checkpointing_func = recompute  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing = layer.training = False


def prefill(network: PreTrainedModel, tokens: Tensor, cache: Cache, rows: Tensor, places: Tensor) -> Tensor:
    """Read P right-padded rows into the cache.

    Returns the hidden states at N of their places.  [P, L], [N], [N] -> [N, H]
    """
    decoder = base_network(network).base_model
    hidden: Tensor = decoder(input_ids=tokens, past_key_values=cache, use_cache=True)[0]
    return hidden[rows, places]


def output_logits(network: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits of hidden states, for networks whose head `output_head` can describe.  [N, H] -> [N, V]"""
    head = output_head(network)
    assert head is not None, "the caller checks output_head first"
    return head_logits(hidden, head)


def num_layers(network: PreTrainedModel) -> int:
    return int(base_network(network).config.get_text_config().num_hidden_layers)


def output_head(network: PreTrainedModel) -> Head | None:
    """The map from hidden states to logits, or None unless it is one linear layer, a scale and a soft cap."""
    base = base_network(network)
    linear = base.get_output_embeddings()
    if type(linear) is not nn.Linear:
        return None
    config = base.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere multiplies
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)  # Granite divides
    softcap = float(getattr(config, "final_logit_softcapping", None) or 0.0)  # Gemma 2
    return Head(linear.weight, linear.bias, scale, softcap)


def supports_tree_mask(network: PreTrainedModel, width: int) -> bool:
    """Whether attention in rows of `width` tokens depends only on a mask and positions.

    False for layers without attention, and for a sliding window that is shorter than the row: the window
    follows the order of places, which is not the order of positions.
    """
    config = base_network(network).config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if not kinds <= {"full_attention", "sliding_attention"}:
        return False
    if getattr(config, "num_attention_heads", None) is None:
        return False
    window = getattr(config, "sliding_window", None)
    return not (isinstance(window, int) and width > window)


def supports_packing(network: PreTrainedModel, device: torch.device) -> bool:
    """Whether the network can read packed rows: described by spans on a CPU, by blocks on a GPU."""
    base = base_network(network)
    if device.type == "cuda" and not base._supports_flex_attn:
        return False
    return device.type in ("cpu", "cuda") and attention.is_installed(base) and supports_tree_mask(base, 1)


def convert_mask(network: PreTrainedModel, mask: Tensor | BlockMask | None) -> Tensor | BlockMask | None:
    """The mask in the form that the network's attention expects: boolean, or additive for eager attention."""
    if isinstance(mask, BlockMask | SpanMask):
        return mask
    if mask is not None and mask.dim() == 2:
        return mask.long()
    if mask is None or network.config._attn_implementation != "eager":
        return mask
    additive = torch.zeros(mask.shape, dtype=network.dtype, device=mask.device)
    return additive.masked_fill_(~mask, torch.finfo(network.dtype).min)
