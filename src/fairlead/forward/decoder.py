"""The parts of a transformers decoder that Fairlead calls by itself: the trunk up to its last hidden states, and the head's numbers."""

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
    """The transformers model itself, with the adapter's layers inside where there are any."""
    return network.get_base_model() if isinstance(network, PeftModel) else network


def hidden_states(
    network: PreTrainedModel,
    layout: Layout,
    *,
    gradient_checkpointing: bool = False,
    noise: Tensor | None = None,
) -> Tensor:
    """The trunk's last hidden states, after its last norm, one for each place of the layout.  [R * C, H]

    With `checkpointing` only what goes into each layer is kept for the backward pass, and the rest is computed again there.
    `noise` is added to the embeddings.  [R, C, H]
    """
    arguments = input_arguments(network, layout.tokens, noise)
    if layout.positions is not None:
        arguments["position_ids"] = layout.positions
    trunk = base_network(network).base_model
    with _checkpointing(trunk, gradient_checkpointing and torch.is_grad_enabled()):
        hidden: Tensor = trunk(
            attention_mask=convert_mask(network, layout.mask), use_cache=False, **arguments
        )[0]
    return hidden.flatten(0, 1)


def input_arguments(network: PreTrainedModel, tokens: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
    """What the network reads: the tokens, or their embeddings with noise on them."""
    if noise is None:
        return {"input_ids": tokens}
    embedded: Tensor = base_network(network).get_input_embeddings()(tokens)
    return {"inputs_embeds": embedded + noise.to(embedded.dtype)}


@contextmanager
def _checkpointing(trunk: nn.Module, on: bool) -> Iterator[None]:
    """transformers recomputes the layers that are in training mode; only their own flag is set, so that dropout stays off."""
    if not on:
        yield
        return
    layers = [module for module in trunk.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.gradient_checkpointing = layer.training = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing = layer.training = False


def prefill(network: PreTrainedModel, tokens: Tensor, cache: Cache, rows: Tensor, places: Tensor) -> Tensor:
    """Read rows that are padded on the right into the cache; the hidden states at N of their places.  [P, L], [N], [N] -> [N, H]"""
    hidden: Tensor = base_network(network).base_model(
        input_ids=tokens, past_key_values=cache, use_cache=True
    )[0]
    return hidden[rows, places]


def output_logits(network: PreTrainedModel, hidden: Tensor) -> Tensor:
    """[N, H] -> [N, V], for a network that `output_head` can describe"""
    head = output_head(network)
    assert head is not None
    return head_logits(hidden, head)


def num_layers(network: PreTrainedModel) -> int:
    return int(base_network(network).config.num_hidden_layers)


def output_head(network: PreTrainedModel) -> Head | None:
    """What turns hidden states into logits; None where it is more than one linear map, a scale and a soft cap."""
    plain = base_network(network)
    linear = plain.get_output_embeddings()
    if type(linear) is not nn.Linear:
        return None
    config = plain.config
    scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere multiplies,
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)  # Granite divides
    softcap = float(getattr(config, "final_logit_softcapping", None) or 0.0)  # Gemma 2
    return Head(linear.weight, linear.bias, scale, softcap)


def supports_tree_mask(network: PreTrainedModel, width: int) -> bool:
    """Whether a mask and positions say all that this model's attention needs to know, for rows of `width` tokens.

    Not so where a window slides over the row's own order, or where a layer has no attention at all.
    """
    config = base_network(network).config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if not kinds <= {"full_attention", "sliding_attention"}:
        return False
    window = getattr(config, "sliding_window", None)
    return not (isinstance(window, int) and width > window)


def supports_packing(network: PreTrainedModel, device: torch.device) -> bool:
    """Whether this model's attention can be told by stretches of places or, on a GPU, by blocks."""
    plain = base_network(network)
    if device.type == "cuda" and not plain._supports_flex_attn:
        return False
    return device.type in ("cpu", "cuda") and attention.is_installed(plain) and supports_tree_mask(plain, 1)


def convert_mask(network: PreTrainedModel, mask: Tensor | BlockMask | None) -> Tensor | BlockMask | None:
    """A boolean mask for fused attention; numbers to be added for the models that do it step by step."""
    if isinstance(mask, BlockMask | SpanMask):
        return mask
    if mask is not None and mask.dim() == 2:
        return mask.long()
    if mask is None or network.config._attn_implementation != "eager":
        return mask
    numbers = torch.zeros(mask.shape, dtype=network.dtype, device=mask.device)
    return numbers.masked_fill_(~mask, torch.finfo(network.dtype).min)
