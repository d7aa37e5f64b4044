"""Store frozen weights in 4 bits, as in QLoRA (arXiv:2305.14314), and import the optional bitsandbytes.

Weights are stored as NF4 in blocks of 64, with the scales of the blocks in 8 bits: about 4.1 bits per
weight. Embeddings, norms, the head, and layers whose rows are not a multiple of the block stay as they are.
Each matrix product dequantises its weights to the dtype of its input.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fairlead.core.errors import ModelError

_library: Any = None
try:
    import bitsandbytes

    _library = bitsandbytes
except ImportError:
    pass

BLOCK = 64
NF4 = {"blocksize": BLOCK, "quant_type": "nf4", "compress_statistics": True}
PEFT_FLAG = "is_loaded_in_4bit"  # attribute that PEFT reads before it creates adapter layers
RECORD = "quantised_base.json"  # stored with an adapter: how its base was quantised during training


def require_bitsandbytes(setting: str) -> Any:
    """The bitsandbytes module.

    Raises ModelError, with the install command, if `setting` needs it in vain.
    """
    if _library is None:
        raise ModelError(
            f"{setting} needs bitsandbytes, which is not installed. "
            "Install it with: pip install 'fairlead[lowbit]'"
        )
    return _library


def quantize_linears(network: PreTrainedModel, device: torch.device) -> None:
    """Store the decoder's linear layers in 4 bits, on the device.

    Raises ModelError if no layer qualifies.
    """
    require_bitsandbytes("base_bits = 4")
    for parent, name, linear in _linears(network):
        setattr(parent, name, _four_bits(linear, device))
    setattr(network, PEFT_FLAG, True)


def is_quantized(network: nn.Module) -> bool:
    return bool(getattr(network, PEFT_FLAG, False))


def dequantized_linear(layer: Any) -> nn.Linear:
    """The layer with its weights in float32.  A layer that is not quantised is returned unchanged."""
    if type(layer) is nn.Linear:
        return layer
    linear = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    weight = _dequantized(layer.weight.data, layer.weight.quant_state)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = layer.bias
    return linear


def round_weights(network: PreTrainedModel, device: torch.device) -> None:
    """Round the weights to the values that 4 bits can represent; they stay in float32."""
    functional = require_bitsandbytes("An adapter trained with base_bits = 4").functional
    for _, _, linear in _linears(network):
        weight = linear.weight
        weight.data = _dequantized(*functional.quantize_4bit(weight.data.to(device), **NF4)).to(weight.device)


def write_record(folder: Path) -> None:
    """Record in an adapter folder that the base was quantised, so that loading rounds the base too."""
    record = {"bits": 4, "type": "nf4", "block": BLOCK, "double_quantisation": True}
    (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


def has_record(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def _linears(network: PreTrainedModel) -> list[tuple[nn.Module, str, nn.Linear]]:
    """(parent, attribute name, layer) of each linear layer that can be quantised."""
    modules = list(network.base_model.modules())
    linears = [
        (parent, name, child)
        for parent in modules
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    # On a CPU, bitsandbytes 0.50 misreads blocks that cross the end of a row.
    suitable = [(parent, name, child) for parent, name, child in linears if child.in_features % BLOCK == 0]
    if not suitable:
        raise ModelError(
            f"This {network.config.model_type} model has no linear layer whose number of inputs is a "
            "multiple of "
            f"{BLOCK}, so nothing can be stored in 4 bits. Set base_bits=32."
        )
    return suitable


def _four_bits(linear: nn.Linear, device: torch.device) -> nn.Module:
    modules = require_bitsandbytes("base_bits = 4").nn
    quantized: Any = modules.Linear4bit(
        linear.in_features, linear.out_features, bias=False, device="meta", quant_type="nf4"
    )
    quantized.weight = modules.Params4bit(linear.weight.data, requires_grad=False, **NF4).to(device)
    quantized.bias = linear.bias
    # No compute dtype is set, so the layer computes in the dtype of its input.
    quantized.compute_type_is_set = True
    # Otherwise the first pass without gradients would repack the weights, and later passes would have no
    # gradients.
    quantized.support_avx512bf16_for_cpu = False
    quantized.register_forward_pre_hook(_cast_input)
    return quantized  # type: ignore[no-any-return]


def _cast_input(_: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
    """Cast the input under autocast: PyTorch's autocast does not know 4-bit layers."""
    (x,) = arguments
    device = x.device.type
    return (x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x,)


def _dequantized(codes: Tensor, state: Any) -> Tensor:
    values: Tensor = require_bitsandbytes("base_bits = 4").functional.dequantize_4bit(codes, state)
    return values.float()
