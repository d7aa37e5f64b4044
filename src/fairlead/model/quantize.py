"""Frozen weights in 4 bits, as QLoRA keeps them (arXiv:2305.14314), and the way to bitsandbytes, which is not always installed.

NF4 in blocks of 64, the blocks' scales in 8 bits themselves: about 4.1 bits a weight.  Embeddings, norms, the head, and layers whose rows
are no whole blocks keep their digits.
Each matrix product makes its weights anew from the 4 bits, in the type of what it reads.
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
PEFT_ASKS = "is_loaded_in_4bit"  # of a network, before it makes its layers
RECORD = "quantised_base.json"  # beside an adapter: how its base was rounded while it was trained


def require_bitsandbytes(knob: str) -> Any:
    """bitsandbytes; raises ModelError with the command that installs it where `knob` asks for it in vain."""
    if _library is None:
        raise ModelError(
            f"{knob} needs bitsandbytes, which is not installed. Install it with: pip install 'fairlead[lowbit]'"
        )
    return _library


def quantize_linears(network: PreTrainedModel, device: torch.device) -> None:
    """Keep the linear layers of the trunk in 4 bits, on the device; raises ModelError where there are none."""
    require_bitsandbytes("base_bits = 4")
    for parent, name, linear in _linears(network):
        setattr(parent, name, _four_bits(linear, device))
    setattr(network, PEFT_ASKS, True)


def is_quantized(network: nn.Module) -> bool:
    return bool(getattr(network, PEFT_ASKS, False))


def dequantized_linear(layer: Any) -> nn.Linear:
    """A layer in 4 bits as an ordinary one with the same values, in float32; an ordinary one as it is."""
    if type(layer) is nn.Linear:
        return layer
    made = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    made.weight = nn.Parameter(_dequantised(layer.weight.data, layer.weight.quant_state), requires_grad=False)
    made.bias = layer.bias
    return made


def round_weights(network: PreTrainedModel, device: torch.device) -> None:
    """Give the weights the values that 4 bits leave of them; they stay float32."""
    functional = require_bitsandbytes("An adapter that was trained with base_bits = 4").functional
    for _, _, linear in _linears(network):
        weight = linear.weight
        weight.data = _dequantised(*functional.quantize_4bit(weight.data.to(device), **NF4)).to(weight.device)


def write_record(folder: Path) -> None:
    said = {"bits": 4, "type": "nf4", "block": BLOCK, "double_quantisation": True}
    (folder / RECORD).write_text(json.dumps(said) + "\n", encoding="utf-8")


def has_record(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def _linears(network: PreTrainedModel) -> list[tuple[nn.Module, str, nn.Linear]]:
    modules = list(network.base_model.modules())
    linears = [
        (parent, name, child)
        for parent in modules
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    # bitsandbytes 0.50 reads blocks that run over the end of a row wrongly on a CPU
    found = [(parent, name, child) for parent, name, child in linears if child.in_features % BLOCK == 0]
    if not found:
        kind = network.config.model_type
        raise ModelError(
            f"This {kind} model has no linear layer of whole blocks ({BLOCK} inputs) to keep in 4 bits. Set base_bits=32."
        )
    return found


def _four_bits(linear: nn.Linear, device: torch.device) -> nn.Module:
    modules = require_bitsandbytes("base_bits = 4").nn
    made: Any = modules.Linear4bit(
        linear.in_features, linear.out_features, bias=False, device="meta", quant_type="nf4"
    )
    made.weight = modules.Params4bit(linear.weight.data, requires_grad=False, **NF4).to(device)
    made.bias = linear.bias
    made.compute_type_is_set = True  # to none of its own: that of what it reads
    made.support_avx512bf16_for_cpu = (
        False  # would repack the weights at the first pass without gradients, and give none afterwards
    )
    made.register_forward_pre_hook(_as_autocast)
    return made  # type: ignore[no-any-return]


def _as_autocast(_: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
    """PyTorch's autocast does not know products with 4 bits."""
    (x,) = arguments
    return (x.to(torch.get_autocast_dtype(x.device.type)) if torch.is_autocast_enabled(x.device.type) else x,)


def _dequantised(codes: Tensor, state: Any) -> Tensor:
    values: Tensor = require_bitsandbytes("base_bits = 4").functional.dequantize_4bit(codes, state)
    return values.float()
