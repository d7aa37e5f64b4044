"""LoRA adapters through PEFT, and how the frozen network under one is kept."""

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import (
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fairlead.core.errors import ModelError
from fairlead.core.precision import Precision
from fairlead.core.seed import derive_seed
from fairlead.model import load, quantize

POLICY = "default"  # PEFT's name for the only adapter of a network, which is the policy's


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
        quantize.quantize_linears(network, load.default_device())
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type=task,
        fan_in_fan_out=any(
            isinstance(module, Conv1D) for module in network.modules()
        ),  # GPT-2 keeps its matrices transposed
    )
    with torch.random.fork_rng(devices=[]):  # PEFT draws from the global generator
        torch.manual_seed(derive_seed(lora.seed, "lora", str(task)))
        adapted = get_peft_model(network, settings)
    if lora.precision == "pure-bfloat16":
        for parameter in adapted.parameters():  # not the buffers: positions need their digits
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.bfloat16()
    return adapted  # type: ignore[return-value]


def activate(network: PreTrainedModel, name: str) -> None:
    """Run a network that carries several adapters with this one; of all of them, it alone is trainable."""
    if isinstance(network, PeftModel) and network.active_adapter != name:
        network.set_adapter(name)


def add_adapter(
    network: PreTrainedModel, name: str, *, run_seed: int = 0, like: LoraConfig | None = None
) -> None:
    """One more adapter on the same frozen network, of the policy's kind or `like` another; what it is not told it draws anew."""
    assert isinstance(network, PeftModel)
    settings = copy.copy(like or network.peft_config[POLICY])
    settings.task_type, settings.modules_to_save = (
        TaskType.CAUSAL_LM,
        None,
    )  # a head that belongs to it stands outside
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(run_seed, "lora", name))
        network.add_adapter(name, settings)


def load_adapter(network: PreTrainedModel, name: str, folder: Path, weights: dict[str, Tensor]) -> None:
    """One more adapter with these weights, of the kind that the folder tells; raises ModelError where they are not its weights."""
    add_adapter(network, name, like=LoraConfig.from_pretrained(str(folder)))
    expected = get_peft_model_state_dict(network, adapter_name=name, save_embedding_layers=False)
    if {key: value.shape for key, value in expected.items()} != {
        key: value.shape for key, value in weights.items()
    }:
        raise ModelError(f"{folder}: the adapter's weights are not those of its settings. It is refused.")
    set_peft_model_state_dict(network, weights, adapter_name=name)


def save(network: PeftModel, folder: Path, *, base: str, final_folder: Path) -> None:
    """The policy's adapter in PEFT's format.  A base that is a folder is named relative to `final_folder`, where the adapter will stand."""
    named = os.path.relpath(base, final_folder) if Path(base).is_dir() else base
    network.peft_config[POLICY].base_model_name_or_path = named
    # No embedding is trained; left to itself, PEFT would look for the base on the Hub to find out.
    network.save_pretrained(str(folder), save_embedding_layers=False, selected_adapters=[POLICY])
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's card is an empty form
    if quantize.is_quantized(network.get_base_model()):
        quantize.write_record(folder)


def merge(network: PeftModel) -> PreTrainedModel:
    """The plain network in float32 with the adapter in its weights; the adapted one is used up."""
    for parameter in network.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    if not quantize.is_quantized(network.get_base_model()):
        return network.merge_and_unload()  # type: ignore[no-any-return]
    layers: list[Any] = [module for module in network.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        plain = quantize.dequantized_linear(
            layer.get_base_layer()
        )  # PEFT would round the sum to 4 bits again
        plain.weight.data += layer.get_delta_weight(POLICY).detach()
        layer.base_layer = plain
    return network.unload()  # type: ignore[no-any-return]
