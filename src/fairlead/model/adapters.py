"""LoRA adapters through PEFT: create, load, activate, merge and save them.  arXiv:2106.09685"""

import copy
import os
from collections.abc import Mapping
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
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fairlead.core.errors import ModelError
from fairlead.core.precision import Precision
from fairlead.core.seed import derive_seed
from fairlead.model import load, quantize

# PEFT refuses adapters on these layers of these models, whose kernels read the weights directly.
STATE_SPACE = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
REFUSED_BY_PEFT = ("conv1d", "out_proj")
CLASSIFIER_HEAD = "score"  # name of the head of transformers' decoder classifiers
NUM_TRIAL_TOKENS = 8
PLAIN_LINEAR = ("Linear", "Linear4bit")
LEFT_OUT = "layers_without_adapter"  # attribute of an adapted network

POLICY = "default"  # the policy's adapter; PEFT gives this name to the first adapter of a network


@dataclass(frozen=True)
class Lora:
    """W + (alpha / rank) * B A on every linear layer except the output head: Lora(rank=16, alpha=32)."""

    rank: int
    alpha: int
    seed: int = 0  # for the initial weights: A is random, B is zero
    precision: Precision = "float32"  # pure-bfloat16 also stores the frozen weights in bfloat16
    base_bits: Literal[4, 32] = 32  # 4 stores the frozen linear layers in 4 bits (QLoRA)


def add_lora(network: PreTrainedModel, lora: Lora, *, task: TaskType) -> PreTrainedModel:
    """Add a new adapter.  Only the adapter, and the head of a classifier, stay trainable."""
    if lora.base_bits == 4:
        quantize.quantize_linears(network, load.default_device())
    left_out = _unsuitable_layers(network)
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=_suitable_layers(network, left_out) if left_out else "all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type=task,
        # GPT-2 stores its matrices transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in network.modules()),
    )
    with torch.random.fork_rng(devices=[]):  # PEFT draws from the global generator
        torch.manual_seed(derive_seed(lora.seed, "lora", str(task)))
        adapted = get_peft_model(network, settings)
    setattr(adapted, LEFT_OUT, sorted({_pattern(name) for name in left_out}))
    if lora.precision == "pure-bfloat16":
        for parameter in adapted.parameters():  # not the buffers: rotary frequencies need float32
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.bfloat16()
    return adapted  # type: ignore[return-value]


def layers_without_adapter(network: nn.Module) -> list[str]:
    """Linear layers that `add_lora` left out, with * for numbers: `model.layers.*.mixer.out_proj`."""
    names: list[str] = getattr(network, LEFT_OUT, [])
    return names


def _suitable_layers(network: PreTrainedModel, left_out: set[str]) -> list[str]:
    head = network.get_output_embeddings()
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and name != CLASSIFIER_HEAD
        and name not in left_out
    ]
    if not names:
        raise ModelError(
            f"This {network.config.model_type} model has no linear layer that an adapter can be put on. "
            "Set adapter.rank=0 to train all weights."
        )
    return names


def _unsuitable_layers(network: PreTrainedModel) -> set[str]:
    """Names of linear layers that cannot have an adapter.

    PEFT refuses some layers of state-space models.  An adapter on a layer that returns more than a product (a
    router) would be an error.  On a layer whose `forward` is never called, because it is of an image tower
    or its weight is read directly, an adapter would train nothing.
    """
    inside = set(network.base_model.modules())  # layers of an output head are always called
    linears = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module in inside
    }
    called = {_pattern(name) for name in _called(network, linears)}
    is_state_space = network.config.model_type in STATE_SPACE
    return {
        name
        for name, module in linears.items()
        if _pattern(name) not in called or (is_state_space and name.rpartition(".")[2] in REFUSED_BY_PEFT)
    }


@torch.no_grad()
def _called(network: PreTrainedModel, layers: Mapping[str, nn.Module]) -> set[str]:
    """Which of these layers are called, and return their matrix product, when the decoder reads a text."""
    called: set[str] = set()

    def record(name: str, inputs: tuple[Any, ...], output: Any) -> None:
        layer = layers[name]
        if type(layer).__name__ in PLAIN_LINEAR or _is_product(layer, inputs, output):
            called.add(name)

    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: record(name, inputs, output))
        for name, layer in layers.items()
    ]
    try:
        device = next(network.parameters()).device
        network.base_model(input_ids=torch.arange(NUM_TRIAL_TOKENS, device=device)[None], use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _is_product(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> bool:
    """Whether a subclass of Linear computes what its base class does."""
    if len(inputs) != 1 or not isinstance(output, Tensor):
        return False
    try:
        expected = functional.linear(inputs[0], layer.weight, layer.bias)  # type: ignore[arg-type]
    except (RuntimeError, TypeError):
        return False
    return output.shape == expected.shape and torch.allclose(output, expected, rtol=1e-3, atol=1e-4)


def _pattern(name: str) -> str:
    """The name without numbers: an expert to which no token of a text is routed is like the others."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def activate(network: PreTrainedModel, name: str) -> None:
    """Activate one of a network's adapters.  Only the active adapter is trainable."""
    if isinstance(network, PeftModel) and network.active_adapter != name:
        network.set_adapter(name)


def add_adapter(
    network: PreTrainedModel, name: str, *, run_seed: int = 0, like: LoraConfig | None = None
) -> None:
    """Add an adapter to a network that has one, with the settings of the policy's adapter or of `like`."""
    assert isinstance(network, PeftModel)
    settings = copy.copy(like or network.peft_config[POLICY])
    settings.task_type = TaskType.CAUSAL_LM
    settings.modules_to_save = None  # the head of a scalar model is kept outside the network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(run_seed, "lora", name))
        network.add_adapter(name, settings)


def load_adapter(network: PreTrainedModel, name: str, folder: Path, weights: dict[str, Tensor]) -> None:
    """Add an adapter with the settings in `folder` and these weights.

    Raises ModelError if they do not fit.
    """
    add_adapter(network, name, like=LoraConfig.from_pretrained(str(folder)))
    expected = get_peft_model_state_dict(network, adapter_name=name, save_embedding_layers=False)
    expected_shapes = {key: value.shape for key, value in expected.items()}
    if expected_shapes != {key: value.shape for key, value in weights.items()}:
        raise ModelError(
            f"{folder}: the adapter's weights do not match adapter_config.json. Copy or train the adapter "
            "again."
        )
    set_peft_model_state_dict(network, weights, adapter_name=name)


def save(network: PeftModel, folder: Path, *, base: str, final_folder: Path) -> None:
    """Write the policy's adapter in PEFT's format.

    A base on disk is written relative to `final_folder`, where the adapter will be moved to.
    """
    base_path = os.path.relpath(base, final_folder) if Path(base).is_dir() else base
    network.peft_config[POLICY].base_model_name_or_path = base_path
    # No embedding is trained.  By default PEFT would look for the base on the Hub to find out.
    network.save_pretrained(str(folder), save_embedding_layers=False, selected_adapters=[POLICY])
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card is an empty form
    if quantize.is_quantized(network.get_base_model()):
        quantize.write_record(folder)


def merge(network: PeftModel) -> PreTrainedModel:
    """Merge the adapter into the base, in float32.  The adapted network must not be used afterwards."""
    for parameter in network.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    if not quantize.is_quantized(network.get_base_model()):
        return network.merge_and_unload()  # type: ignore[no-any-return]
    layers: list[Any] = [module for module in network.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        # PEFT's merge would round the sum to 4 bits again.
        plain = quantize.dequantized_linear(layer.get_base_layer())
        plain.weight.data += layer.get_delta_weight(POLICY).detach()
        layer.base_layer = plain
    return network.unload()  # type: ignore[no-any-return]
