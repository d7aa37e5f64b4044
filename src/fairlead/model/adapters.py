"""LoRA adapters through PEFT."""

from dataclasses import dataclass

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fairlead.core import seed


@dataclass(frozen=True)
class Lora:
    """arXiv:2106.09685: W + (alpha / rank) * B A on every linear layer but the head."""

    rank: int
    alpha: int
    seed: int = 0  # of the adapter's first weights: A is random, B is zero


def add_lora(network: PreTrainedModel, lora: Lora, *, task: TaskType) -> PreTrainedModel:
    """The network with a fresh adapter; only the adapter (and a classification head) is trainable."""
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
        return get_peft_model(network, settings)  # type: ignore[return-value]
