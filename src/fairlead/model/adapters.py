"""LoRA adapters through PEFT."""

from dataclasses import dataclass

from peft import LoraConfig, TaskType, get_peft_model
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class Lora:
    """arXiv:2106.09685: W + (alpha / rank) * B A on every linear layer but the head."""

    rank: int
    alpha: int


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
    return get_peft_model(network, settings)  # type: ignore[return-value]
