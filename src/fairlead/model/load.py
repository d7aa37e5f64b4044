"""Models and tokenizers from a folder or the Hub, as transformers reads them.

Refused: folders that are no model, weights in pickle files, code that a model brings along, weights that are missing from the files.
A PEFT adapter is read together with its base and merged into it; into what 4 bits left of the base where it was trained on that.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from fairlead.core.errors import ModelError
from fairlead.forward import attention, decoder, fused_ops
from fairlead.model import quantize

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

# A tokenizer without a template of its own gets this one; it is saved with the model, so that other tools use the same.
PLAIN_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{{ '\n\n' if not loop.first }}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\n' }}Assistant:{% endif %}"  # no space at its end: it belongs to the answer's first token
)


def default_device() -> torch.device:
    """The first CUDA device that this process may see, else the CPU.  CUDA_VISIBLE_DEVICES chooses, or hides them all."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_default_device(network: PreTrainedModel) -> None:
    nn.Module.to(network, default_device())
    attention.install(decoder.base_network(network))
    fused_ops.install(network)


def load_causal_lm(reference: str) -> PreTrainedModel:
    """A causal language model in float32, ready for training; raises ModelError with what to do."""
    folder = Path(reference)
    if folder.is_dir() and (folder / "adapter_config.json").is_file():
        return load_with_adapter(folder).merge_and_unload()  # type: ignore[no-any-return]
    check_folder(reference)
    return from_pretrained(AutoModelForCausalLM, reference)


def load_tokenizer(reference: str) -> PreTrainedTokenizerBase:
    """The tokenizer, with a chat template and a padding token; raises ModelError where it cannot say when an answer ends."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(reference, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{reference}: no tokenizer can be read: {_first_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"{reference}: the tokenizer has no end-of-sequence token, so no answer could ever end. Set eos_token in it."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # only ever masked, never trained on
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def check_folder(reference: str) -> None:
    """Raises ModelError where a local folder is no model that may be read.  A name that is no folder is left to the Hub."""
    folder = Path(reference)
    if not folder.exists():
        if reference.startswith((".", "/", "~")) or reference.count("/") != 1:
            raise ModelError(f"{reference}: no such model folder.")
        return
    if not folder.is_dir():
        raise ModelError(f"{reference}: is a file; a model is a folder with config.json and safetensors.")
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{reference}: is no model: it has no config.json. A model is a folder as transformers saves it."
        )
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise ModelError(
                f"{reference}: its weights are in a pickle file ({pickles[0]}), which can run code when it is read. Refused. "
                "Convert it to safetensors first."
            )
        raise ModelError(f"{reference}: has no weights in safetensors.")


def from_pretrained(auto_class: Any, reference: str) -> PreTrainedModel:
    """`auto_class.from_pretrained` that refuses missing or misshapen weights instead of making them up."""
    try:
        with quiet_transformers():
            network, info = auto_class.from_pretrained(
                reference,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # only to be told which: they are refused below
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"{reference}: cannot be read as a model: {_first_line(error)}") from error
    missing = sorted(info["missing_keys"])
    misshapen = sorted(str(item[0] if isinstance(item, tuple) else item) for item in info["mismatched_keys"])
    if missing or misshapen:
        raise ModelError(
            f"{reference}: weights are missing or of the wrong shape ({', '.join((missing + misshapen)[:3])}). "
            "They would be random, so the model is refused."
        )
    network.eval()  # dropout off: the same text always has the same log-probability
    return network  # type: ignore[no-any-return]


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, declared: int | list[int] | None) -> frozenset[int]:
    """Every token that ends an answer: the tokenizer's, and those that a model's settings declare besides."""
    found = {tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])}
    return frozenset(token for token in found if isinstance(token, int))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bars and no warnings from transformers: what it would warn about is checked here, and Fairlead has a bar of its own."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


def read_config(reference: str) -> PreTrainedConfig:
    """config.json of a model folder; raises ModelError."""
    try:
        found: PreTrainedConfig = AutoConfig.from_pretrained(reference, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{reference}: its config.json cannot be read: {_first_line(error)}") from error
    return found


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """The weights of a PEFT adapter by name; raises ModelError."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{folder}: the adapter has no adapter_model.safetensors. Pickle files are refused.")
    try:
        weights: dict[str, Tensor] = load_file(folder / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: its weights cannot be read: {_first_line(error)}") from error
    return weights


def adapter_base(folder: Path) -> str:
    """What an adapter in `folder` stands on: a folder (written relative to the adapter's own) or a name on the Hub."""
    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{folder}: adapter_config.json is not valid JSON: {error}.") from error
    base = str(settings.get("base_model_name_or_path") or "") if isinstance(settings, dict) else ""
    if not base or (folder / base).resolve() == folder.resolve():
        raise ModelError(f"{folder}: the adapter does not name its base model.")
    beside = (folder / base).resolve()
    return str(beside) if beside.is_dir() else base


def load_with_adapter(folder: Path, *, rounded: bool = True) -> PeftModel:
    """An adapter on its base, not merged, in float32; raises ModelError with what to do.

    A base that had 4 bits while the adapter was trained has the values that these leave, unless it is not to be `rounded`.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{folder}: the adapter has no adapter_model.safetensors. Pickle files are refused.")
    base = load_causal_lm(adapter_base(folder))
    if rounded and quantize.has_record(folder):
        quantize.round_weights(base, default_device())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns of missing weights, which are refused here
            adapted = PeftModel.from_pretrained(base, str(folder))
        found = set(load_file(folder / "adapter_model.safetensors"))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: cannot be read as an adapter of its base: {_first_line(error)}"
        ) from error
    expected = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if found != expected:
        raise ModelError(
            f"{folder}: the adapter's weights are not those of its settings ({min(found ^ expected)}). It is refused."
        )
    adapted.eval()
    return adapted


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
