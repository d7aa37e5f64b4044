"""Load models and tokenizers from a folder or the Hub.

Everything unsafe or incomplete is refused with a ModelError: weights in pickle files, code shipped with a
model, and weights that are missing from the files, which transformers would initialise at random.  A PEFT
adapter is loaded with its base and merged.  If the base was quantised to 4 bits in training, the base is
rounded in the same way first.
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

# The chat template of a tokenizer without one.  It is saved with the model, so other tools use the same
# template.
PLAIN_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{{ '\n\n' if not loop.first }}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    # No space at the end: the space belongs to the first token of the answer.
    "{% if add_generation_prompt %}{{ '\n\n' }}Assistant:{% endif %}"
)


def default_device() -> torch.device:
    """The first visible CUDA device, else the CPU.  CUDA_VISIBLE_DEVICES selects or hides devices."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_default_device(network: PreTrainedModel) -> None:
    """Move a network to the default device and install Fairlead's attention and fused modules."""
    nn.Module.to(network, default_device())
    attention.install(decoder.base_network(network))
    fused_ops.install(network)


def load_causal_lm(reference: str) -> PreTrainedModel:
    """Load a causal language model in float32.  An adapter is merged into its base.  Raises ModelError."""
    folder = Path(reference)
    if folder.is_dir() and (folder / "adapter_config.json").is_file():
        return load_with_adapter(folder).merge_and_unload()  # type: ignore[no-any-return]
    check_folder(reference)
    return from_pretrained(AutoModelForCausalLM, reference)


def load_tokenizer(reference: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer with a chat template and a padding token.  Raises ModelError without an EOS token."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(reference, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{reference}: no tokenizer can be read: {_first_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"{reference}: the tokenizer has no end-of-sequence token, so no answer could ever end. "
            "Set its eos_token."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is always masked
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def check_folder(reference: str) -> None:
    """Raise ModelError if a local folder is not a safe model.  A name like `org/model` is left to the Hub."""
    folder = Path(reference)
    if not folder.exists():
        if reference.startswith((".", "/", "~")) or reference.count("/") != 1:
            raise ModelError(f"{reference}: no such model folder.")
        return
    if not folder.is_dir():
        raise ModelError(f"{reference}: is a file. A model is a folder with config.json and safetensors.")
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{reference}: is not a model: it has no config.json. A model is a folder that transformers "
            "saved."
        )
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise ModelError(
                f"{reference}: the weights are in a pickle file ({pickles[0]}), which can run code when "
                "loaded. Refused. "
                "Convert the file to safetensors first."
            )
        raise ModelError(f"{reference}: has no weights in safetensors.")


def from_pretrained(auto_class: Any, reference: str) -> PreTrainedModel:
    """`auto_class.from_pretrained` that refuses missing or misshapen weights instead of initialising them."""
    try:
        with quiet_transformers():
            network, info = auto_class.from_pretrained(
                reference,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported below, and refused
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"{reference}: cannot be read as a model: {_first_line(error)}") from error
    missing = sorted(info["missing_keys"])
    misshapen = sorted(str(item[0] if isinstance(item, tuple) else item) for item in info["mismatched_keys"])
    if missing or misshapen:
        raise ModelError(
            f"{reference}: weights are missing or of the wrong shape "
            f"({', '.join((missing + misshapen)[:3])}). "
            "They would be random, so the model is refused."
        )
    network.eval()  # dropout off: equal inputs give equal log-probabilities
    return network  # type: ignore[no-any-return]


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, declared: int | list[int] | None) -> frozenset[int]:
    """All tokens that end an answer: the tokenizer's EOS, and those declared in the generation config."""
    token_ids = {tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])}
    return frozenset(token for token in token_ids if isinstance(token, int))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' warnings and progress bars.  This module checks what they would warn about."""
    verbosity = transformers_logging.get_verbosity()
    has_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bar:
            transformers_logging.enable_progress_bar()


def read_config(reference: str) -> PreTrainedConfig:
    """Read config.json of a model folder.  Raises ModelError."""
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(reference, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{reference}: its config.json cannot be read: {_first_line(error)}") from error
    return config


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a PEFT adapter by name.  Raises ModelError."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{folder}: the adapter has no adapter_model.safetensors. Pickle files are refused.")
    try:
        weights: dict[str, Tensor] = load_file(folder / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: its weights cannot be read: {_first_line(error)}") from error
    return weights


def adapter_base(folder: Path) -> str:
    """The base of an adapter: a folder, or a name on the Hub.  Folders are stored relative to the adapter."""
    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{folder}: adapter_config.json is not valid JSON: {error}.") from error
    base = str(settings.get("base_model_name_or_path") or "") if isinstance(settings, dict) else ""
    if not base or (folder / base).resolve() == folder.resolve():
        raise ModelError(f"{folder}: adapter_config.json does not name the base model.")
    base_folder = (folder / base).resolve()
    return str(base_folder) if base_folder.is_dir() else base


def load_with_adapter(folder: Path, *, rounded: bool = True) -> PeftModel:
    """Load an adapter on its base, unmerged, in float32.  Raises ModelError.

    A base that was quantised while the adapter was trained is rounded in the same way, unless
    `rounded=False`.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{folder}: the adapter has no adapter_model.safetensors. Pickle files are refused.")
    base = load_causal_lm(adapter_base(folder))
    if rounded and quantize.has_record(folder):
        quantize.round_weights(base, default_device())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns about missing weights, which are refused below
            adapted = PeftModel.from_pretrained(base, str(folder))
        stored = set(load_file(folder / "adapter_model.safetensors"))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: cannot be read as an adapter of its base: {_first_line(error)}"
        ) from error
    expected = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if stored != expected:
        raise ModelError(
            f"{folder}: the adapter's weights do not match adapter_config.json ({min(stored ^ expected)}). "
            "Copy or train the adapter again."
        )
    adapted.eval()
    return adapted


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
