"""Create and load reward models: a language model's decoder with a head that scores conversations.

Reward models are stored as transformers sequence-classification models, so other tools can read them.  A
plain reward model has one label; a reward model with aspects has one label for each aspect.  A head that is
missing from the files is refused: transformers would initialise it at random.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import TaskType
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from fairlead.core.errors import ModelError
from fairlead.core.seed import derive_seed
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.encoding.chat_format import ChatFormat
from fairlead.forward import decoder
from fairlead.model import adapters, load, quantize, reward_reading
from fairlead.model.check_inputs import check_reward_model
from fairlead.model.check_model import (
    adapter_base,
    adapter_task,
    is_adapter,
)
from fairlead.model.check_network import check_network, check_vocabulary
from fairlead.model.policy import Policy
from fairlead.model.reward_config import Aspects, check_reward_config, read_aspects, read_scale, read_steps
from fairlead.model.scalar_model import ADAPTER, HEAD, ScalarModel, total_head


def new_reward_model(
    reference: str,
    *,
    run_seed: int,
    lora: adapters.Lora | None = None,
    aspects: Sequence[str] = (),
    weights: Sequence[float] = (),
    template: Template = OWN_TEMPLATE,
) -> ScalarModel:
    """The decoder of a language model with a new head, or with one head for each of `aspects`.

    The head's weights are drawn from N(0, 1 / (d + 1)), as in arXiv:2009.01325.  Raises ModelError.
    """
    causal, chat = load.load_language_model(reference, template)
    config = copy.deepcopy(causal.config)
    config.num_labels = max(1, len(aspects))
    config.pad_token_id = chat.tokenizer.pad_token_id
    try:
        network = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise ModelError(
            f"{reference}: transformers has no sequence-classification head for this architecture."
        ) from error
    network.base_model.load_state_dict(causal.base_model.state_dict())  # strict: the key sets must be equal
    network.eval()
    reward_reading.choose_padding(chat, network)
    head = _linear_head(network, reference)
    generator = torch.Generator().manual_seed(derive_seed(run_seed, "reward head"))
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) / (head.in_features + 1) ** 0.5)
        if head.bias is not None:
            head.bias.zero_()
    if lora is not None:
        network = adapters.add_lora(network, lora, task=TaskType.SEQ_CLS)
    load.to_default_device(network)
    model = ScalarModel(network, chat)
    model.reference = reference
    if aspects:
        zeros = (0.0,) * len(aspects)
        ones = (1.0,) * len(aspects)
        model.set_aspects(Aspects(tuple(aspects), tuple(weights), means=zeros, stds=ones))
    return model


def load_reward_model(reference: str, *, fallback: Template = OWN_TEMPLATE) -> ScalarModel:
    """A trained reward model: a classifier, or an adapter that makes a language model one.

    It reads conversations with its own chat template; `fallback` is for a tokenizer without one.
    Raises ModelError if a weight is missing from the files or a setting is unusable.
    """
    check_reward_model(reference)
    tokenizer = load.load_tokenizer(reference)
    template = OWN_TEMPLATE if tokenizer.chat_template else fallback
    if not tokenizer.chat_template and not template.file:
        raise ModelError(
            f"{reference}: the tokenizer of the reward model has no chat template, so nothing says how it "
            "reads a conversation. Copy chat_template.jinja into its folder from the model that it was "
            "trained from, or choose one with template.file."
        )
    chat = ChatFormat(tokenizer, template, source=reference)
    if is_adapter(reference):
        network = _load_classifier_adapter(Path(reference))
    else:
        network = _load_classifier(reference)
    _linear_head(network, reference)
    check_network(network, reference)
    check_vocabulary(network, tokenizer, reference)
    check_reward_config(network.config, reference)
    load.to_default_device(network)
    chat.declare(getattr(network.config, "end_token_ids", network.config.eos_token_id))
    model = ScalarModel(network, chat)
    if not reward_reading.is_read_at_end_of_answer(network.config):
        model.reads_whole_rendering = True
        padding = reward_reading.padding_of(network.config)
        # TRL sets the padding token of the classifier when it trains, and an adapter does not store it.
        model.skipped_padding = (
            tokenizer.pad_token_id if padding is None and is_adapter(reference) else padding
        )
    return model


def _load_classifier_adapter(folder: Path) -> PreTrainedModel:
    """A classifier from an adapter with a head, merged into its base.  TRL's RewardTrainer writes these."""
    if adapter_task(folder) == "CAUSAL_LM":
        raise ModelError(
            f"{folder}: is the adapter of a language model (task_type CAUSAL_LM), not of a reward model. "
            f"Train a reward model on it with `fairlead train reward model={folder}`."
        )
    weights = load.read_adapter(folder)
    heads = [weight for name, weight in weights.items() if name.endswith(f".{HEAD}.weight")]
    if len(heads) != 1:
        raise ModelError(
            f"{folder}: the adapter's file holds no head {HEAD!r}, so the scores would be random. "
            "Save the adapter with its head, or merge it into a classifier first."
        )
    base = load.from_pretrained(
        AutoModelForSequenceClassification,
        adapter_base(folder),
        may_miss=(f"{HEAD}.weight",),
        num_labels=heads[0].shape[0],
    )
    return load.merged(load.attach_adapter(base, folder, weights))


def shares_base(policy: Policy, reference: str) -> bool:
    """Whether the reward model was trained as an adapter on the base model that the policy's adapter uses."""
    adapter = Path(reference) / ADAPTER
    if not policy.has_adapter or not (adapter / "adapter_config.json").is_file():
        return False
    base = adapter_base(adapter)
    if Path(base).is_dir():
        same_base = Path(base).resolve() == Path(policy.reference).resolve()
    else:
        same_base = base == policy.reference
    quantized = quantize.is_quantized(decoder.base_network(policy.network))
    return same_base and quantize.has_record(adapter) == quantized


def load_shared_reward_model(policy: Policy, reference: str, *, name: str) -> ScalarModel:
    """A reward model as an additional adapter, `name`, on the policy's network.  Needs `shares_base`.

    Saves the memory of a second network.  Raises ModelError.
    """
    adapter_folder = Path(reference) / ADAPTER
    config = load.read_config(reference)
    check_reward_config(config, reference)
    weights = load.read_adapter(adapter_folder)
    head_weights = [weights.pop(key) for key in sorted(weights) if key.endswith(f".{HEAD}.weight")]
    expected_shape = (config.num_labels, policy.network.config.hidden_size)
    if len(head_weights) != 1 or head_weights[0].shape != expected_shape:
        raise ModelError(
            f"{adapter_folder}: holds no head of the shape that config.json declares. "
            "Train the reward model again."
        )
    adapters.load_adapter(policy.network, name, adapter_folder, weights)
    chat = load.load_chat_format(reference, declared=getattr(config, "end_token_ids", config.eos_token_id))
    head = total_head(head_weights[0], None, read_aspects(config))
    model = shared_scalar_model(policy, name, head, chat)
    model.steps = read_steps(config)
    model.scale = read_scale(config)
    return model


def shared_scalar_model(
    policy: Policy, adapter: str, head: nn.Linear, chat: ChatFormat | None = None
) -> ScalarModel:
    """A scalar model on the policy's network, with its own adapter and head.

    `chat` is how it reads conversations; a critic reads the policy's own tokens.
    """
    return ScalarModel(policy.network, chat or policy.chat, adapter=adapter, head=head.to(policy.device))


def _load_classifier(reference: str) -> PreTrainedModel:
    """Raises ModelError, also for a model that scores each token."""
    names = load.read_config(reference).architectures or [""]
    if names[0].endswith("ForTokenClassification"):
        raise ModelError(
            f"{reference}: is a token classifier ({names[0]}), as others write process reward models. Use a "
            "reward model with one score for each answer."
        )
    return load.from_pretrained(AutoModelForSequenceClassification, reference)


def _linear_head(network: PreTrainedModel, reference: str) -> nn.Linear:
    """The head of a classifier.  Raises ModelError for architectures that store it under another name."""
    head = getattr(network, HEAD, None)
    if not isinstance(head, nn.Linear):
        raise ModelError(
            f"{reference}: a {network.config.model_type} classifier has no linear head named {HEAD!r}. "
            "This architecture is not supported as a reward model."
        )
    return head
