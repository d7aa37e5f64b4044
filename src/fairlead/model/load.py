"""Load models and tokenizers from a folder or the Hub.

Everything unsafe or incomplete is refused with a ModelError: weights in pickle files, code shipped with a
model, and weights that are missing from the files, which transformers would initialise at random.  A PEFT
adapter is loaded with its base and merged.  If the base was quantised to 4 bits in training, the base is
rounded in the same way first.
"""

import logging
import re
import warnings
from collections.abc import Collection, Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
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
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.encoding.chat_format import ChatFormat
from fairlead.forward import attention, decoder, fused_ops
from fairlead.model import quantize
from fairlead.model.check_model import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    adapter_base,
    check_adapter_folder,
    check_config,
    check_folder,
    check_model,
    check_tokenizer_files,
    has_tokenizer,
    is_adapter,
)
from fairlead.model.check_network import check_network, check_vocabulary, num_embeddings, reason
from fairlead.model.missing_weights import (
    check_is_language_adapter,
    check_is_language_model,
    missing_weights,
)

TRIAL_TEXT = "What is 2 + 2?"  # any tokenizer makes tokens of it

NUM_TRIAL_TOKENS = 8
# Relative to the largest hidden state: some hundred roundings of the dtype.
TRIAL_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02, torch.float64: 1e-4}

# What transformers, PEFT and tokenizers raise for files that they cannot read.
UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    AssertionError,
    SafetensorError,
    StrictDataclassError,
)
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a layer or an expert, in the name of a weight


def default_device() -> torch.device:
    """The first visible CUDA device, else the CPU.  CUDA_VISIBLE_DEVICES selects or hides devices."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_default_device(network: PreTrainedModel) -> None:
    """Move a network to the default device, and install Fairlead's attention and fused modules where they
    compute what the network's own modules compute.
    """
    nn.Module.to(network, default_device())
    base = decoder.base_network(network)
    expected = _trial_states(network)
    attention.install(base)
    fused_ops.install(network)
    states = _trial_states(network)
    gap = max(float((state - own).abs().max()) for state, own in zip(states, expected, strict=True))
    largest = max(float(own.abs().max()) for own in expected)
    if not gap <= TRIAL_TOLERANCE[network.dtype] * largest:  # also refuses NaN
        attention.uninstall(base)
        fused_ops.uninstall(base)


@torch.no_grad()
def _trial_states(network: PreTrainedModel) -> list[Tensor]:
    """Hidden states of two short rows, without a mask and with padding on the left.  [2, T, H] each"""
    base = decoder.base_network(network)
    device = next(network.parameters()).device
    tokens = torch.arange(2 * NUM_TRIAL_TOKENS, device=device).view(2, NUM_TRIAL_TOKENS)
    mask = torch.ones_like(tokens)
    mask[0, :2] = 0
    arguments: list[dict[str, Tensor]] = [{}, {"attention_mask": mask}]
    states = [base.base_model(input_ids=tokens, use_cache=False, **extra)[0].float() for extra in arguments]
    return [states[0], states[1] * mask[:, :, None]]


def load_causal_lm(reference: str) -> PreTrainedModel:
    """Load a causal language model in float32.  An adapter is merged into its base.  Raises ModelError."""
    if is_adapter(reference):
        network = merged(load_with_adapter(Path(reference)))
        check_network(network, reference)
        return network
    check_folder(reference)
    check_is_language_model(read_config(reference).architectures or (), reference)
    network = from_pretrained(AutoModelForCausalLM, reference)
    check_network(network, reference)
    return network


def merged(network: PeftModel) -> PreTrainedModel:
    """The base with its adapter merged into it, and all weights ready to be trained: PEFT had frozen them."""
    base: PreTrainedModel = network.merge_and_unload()
    for parameter in base.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return base


def load_language_model(
    reference: str, template: Template = OWN_TEMPLATE
) -> tuple[PreTrainedModel, ChatFormat]:
    """A causal language model, checked, and how it reads conversations.

    Raises ModelError, or ConfigError where a setting does not fit the template.
    """
    check_model(reference)
    tokenizer = load_tokenizer(reference)
    chat = ChatFormat(tokenizer, template, source=reference)  # it may refuse, so it comes before the network
    network = load_causal_lm(reference)
    check_vocabulary(network, tokenizer, reference)
    chat.declare(declared_stops(network))
    return network, chat


def load_tokenizer(reference: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer with a padding token.  Raises ModelError without an EOS token.

    Its chat template, if it has one, is read by `encoding.chat_format.ChatFormat`.
    An adapter without tokenizer files has the tokenizer of its base.
    """
    folder = Path(reference)
    if is_adapter(reference) and not has_tokenizer(folder):
        return load_tokenizer(adapter_base(folder))
    if folder.is_dir():
        check_tokenizer_files(folder)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(reference, trust_remote_code=False)
    except UNREADABLE as error:
        if (folder / "config.json").is_file():
            read_config(reference)  # which the tokenizer's class depends on; its own error says more
        raise ModelError(
            f"{reference}: no tokenizer can be read: {_ended(reason(error))} "
            "Copy the tokenizer files again from the model that this one was made from."
        ) from error
    if not tokenizer(TRIAL_TEXT, add_special_tokens=False)["input_ids"]:
        raise ModelError(
            f"{reference}: the tokenizer makes no tokens of a text. Copy the tokenizer files from the model "
            "that this one was made from."
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"{reference}: the tokenizer has no end-of-sequence token, so no answer could ever end. "
            "Set its eos_token."
        )
    # Fairlead checks the lengths itself; transformers would warn of rows that are dropped or cut later.
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is always masked
    return tokenizer


def from_pretrained(
    auto_class: Any, reference: str, *, may_miss: Container[str] = (), **settings: Any
) -> PreTrainedModel:
    """`auto_class.from_pretrained` that refuses missing or misshapen weights instead of initialising them.

    Weights in `may_miss` are replaced by the caller.
    """
    check_config(read_config(reference).to_dict(), reference)
    try:
        with quiet_transformers():
            network, info = auto_class.from_pretrained(
                reference,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported below, and refused
                output_loading_info=True,
                **settings,
            )
    except UNREADABLE as error:
        raise _unreadable(reference, error) from error
    missing = sorted(key for key in info["missing_keys"] if key not in may_miss)
    misshapen = sorted(info["mismatched_keys"], key=str)
    if missing or misshapen:
        raise missing_weights(
            reference,
            missing,
            misshapen,
            len(network.state_dict()),
            network.config.get_text_config().to_dict(),
        )
    _check_unused(info["unexpected_keys"], network, reference)
    network.eval()  # dropout off: equal inputs give equal log-probabilities
    return network  # type: ignore[no-any-return]


def _unreadable(reference: str, error: Exception) -> ModelError:
    return ModelError(
        f"{reference}: cannot be read as a model: {_ended(reason(error))} Correct its config.json, or "
        "download the model again."
    )


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _check_unused(unexpected: Collection[str], network: PreTrainedModel, reference: str) -> None:
    """Raise ModelError if the files hold more layers than config.json declares: they would be left out.

    Layers that predict several tokens ahead, which transformers does not build, may be left out.
    """
    config = network.config.get_text_config()
    num_layers = getattr(config, "num_hidden_layers", None)
    if num_layers is None:
        return
    end = num_layers + (getattr(config, "num_nextn_predict_layers", None) or 0)
    known = {_NUMBER.sub("#", name) for name in network.state_dict()}
    more = [
        name
        for name in sorted(unexpected)
        if _NUMBER.sub("#", name) in known and (numbers := _NUMBER.findall(name)) and int(numbers[0]) >= end
    ]
    if more:
        raise ModelError(
            f"{reference}: config.json declares {num_layers} layers, but the weights hold more "
            f"({more[0]}), which would be left out. Correct num_hidden_layers, or download the model again."
        )


def declared_stops(network: PreTrainedModel) -> int | list[int] | None:
    """The end tokens that a model's generation config names."""
    config = network.generation_config
    return None if config is None else config.eos_token_id  # type: ignore[no-any-return]


def load_chat_format(
    reference: str, settings: Template = OWN_TEMPLATE, *, declared: int | list[int] | None
) -> ChatFormat:
    """The tokenizer of a model with its chat template; `declared` are the end tokens that the model names.

    Raises ModelError, or ConfigError where a setting does not fit the template.
    """
    return ChatFormat(load_tokenizer(reference), settings, declared=declared, source=reference)


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


def save_model(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a complete transformers folder."""
    with quiet_transformers():
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read_config(reference: str) -> PreTrainedConfig:
    """Read config.json of a model folder.  Raises ModelError."""
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(reference, trust_remote_code=False)
    except UNREADABLE as error:
        raise _unreadable(reference, error) from error
    return config


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a PEFT adapter by name.  Raises ModelError."""
    check_adapter_folder(folder)
    try:
        weights: dict[str, Tensor] = load_file(folder / ADAPTER_WEIGHTS)
    except UNREADABLE as error:
        raise ModelError(f"{folder}: its weights cannot be read: {reason(error)}") from error
    return weights


def load_with_adapter(folder: Path, *, rounded: bool = True) -> PeftModel:
    """Load a language model's adapter on its base, unmerged, in float32.  Raises ModelError.

    A base that was quantised while the adapter was trained is rounded in the same way, unless
    `rounded=False`.
    """
    check_is_language_adapter(folder)
    weights = read_adapter(folder)
    base = load_causal_lm(adapter_base(folder))
    if rounded and quantize.has_record(folder):
        quantize.round_weights(base, default_device())
    return attach_adapter(base, folder, weights)


def attach_adapter(base: PreTrainedModel, folder: Path, weights: Mapping[str, Tensor]) -> PeftModel:
    """Put the adapter in `folder` on its base; `weights` are those in its file.

    Raises ModelError if an adapter weight is missing, misshapen or superfluous.
    """
    embeddings = _fit_embeddings(base, weights, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns about missing weights, which are refused below
            adapted = PeftModel.from_pretrained(base, str(folder))
    except UNREADABLE as error:
        raise ModelError(
            f"{folder}: cannot be read as an adapter of its base: {_ended(reason(error))} "
            f"Check base_model_name_or_path and peft_type in {folder / ADAPTER_CONFIG}."
        ) from error
    expected = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    unmatched = (expected - set(weights)) | (set(weights) - expected - embeddings)
    if unmatched:
        raise ModelError(
            f"{folder}: the adapter's weights do not match {ADAPTER_CONFIG} ({min(unmatched)}). "
            "Copy or train the adapter again."
        )
    adapted.eval()
    return adapted


def _fit_embeddings(base: PreTrainedModel, weights: Mapping[str, Tensor], folder: Path) -> set[str]:
    """Resize the base's embeddings and head to those that the adapter's file holds, after tokens were added.

    Returns the names in the file.  Raises ModelError if the file has rows for one of the two only: the rows
    of the other would be random.
    """
    modules = {module: name for name, module in base.named_modules()}
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    keys = [f"base_model.model.{modules[module]}" for module in ends if module is not None]
    stored = {key: weights[f"{key}.weight"].shape[0] for key in keys if f"{key}.weight" in weights}
    num_rows = num_embeddings(base)
    sizes = set(stored.values()) - {num_rows}
    if sizes:
        is_tied = len(keys) == 1 or bool(base.get_input_embeddings().weight is ends[1].weight)
        if len(sizes) > 1 or (len(stored) < len(keys) and not is_tied):
            raise ModelError(
                f"{folder}: the adapter's file has {' and '.join(map(str, sorted(sizes)))} rows of "
                f"embeddings, its base has {num_rows}, and the rows of the other side are missing. "
                "Save the adapter with save_embedding_layers=True."
            )
        base.resize_token_embeddings(sizes.pop(), mean_resizing=False)
    # Beside the weight, PEFT may write copies of it, such as `lm_head.modules_to_save.weight`.
    return {name for name in weights if name.startswith(tuple(f"{key}." for key in keys))}
