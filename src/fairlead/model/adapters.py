"""LoRA adapters through PEFT, and how the frozen network under one is kept."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fairlead.core import seed
from fairlead.model import load, lowbit
from fairlead.model.paths import Precision


@dataclass(frozen=True)
class Lora:
    """arXiv:2106.09685: W + (alpha / rank) * B A on every linear layer but the head."""

    rank: int
    alpha: int
    seed: int = 0  # of the adapter's first weights: A is random, B is zero
    precision: Precision = "float32"  # pure-bfloat16 keeps the frozen weights in bfloat16 from the start
    base_bits: Literal[4, 32] = 32  # 4: the frozen linear layers in 4 bits (QLoRA)


def add_lora(network: PreTrainedModel, lora: Lora, *, task: TaskType) -> PreTrainedModel:
    """The network with a fresh adapter; only the adapter (and a classification head) is trainable."""
    if lora.base_bits == 4:
        lowbit.quantise(network, load.default_device())
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type=task,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in network.modules()),  # GPT-2 keeps its matrices transposed
    )
    with torch.random.fork_rng(devices=[]):  # PEFT draws from the global generator
        torch.manual_seed(seed.derive(lora.seed, "lora", str(task)))
        adapted = get_peft_model(network, settings)
    if lora.precision == "pure-bfloat16":
        for parameter in adapted.parameters():  # not the buffers: positions need their digits
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.bfloat16()
    return adapted  # type: ignore[return-value]


def merged(network: PeftModel) -> PreTrainedModel:
    """The plain network in float32 with the adapter in its weights; the adapted one is used up."""
    for parameter in network.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    if not lowbit.is_quantised(network.get_base_model()):
        return network.merge_and_unload()  # type: ignore[no-any-return]
    layers: list[Any] = [module for module in network.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        plain = lowbit.plain_linear(layer.get_base_layer())  # PEFT would round the sum to 4 bits again
        plain.weight.data += layer.get_delta_weight("default").detach()
        layer.base_layer = plain
    return network.unload()  # type: ignore[no-any-return]
