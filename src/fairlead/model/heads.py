"""Networks with a scalar head: the reward model (one number per conversation) and the critic (one per token).

Stored as transformers' sequence classification with one label, so that other tools read them too.  A head that is missing from the
files is refused, never made up.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel, TaskType
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from fairlead.core import seed
from fairlead.core.errors import ModelError
from fairlead.data.records import Message
from fairlead.model import adapters, load, trunk
from fairlead.model.batch import Batch
from fairlead.model.encode import Encoded, encode_conversation
from fairlead.model.layout import Layout
from fairlead.model.paths import Paths

HEAD = "score"  # the name that transformers gives the head of its decoder classifiers


class ScalarModel:
    """A trunk and one linear head on its last hidden states."""

    def __init__(self, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stop_ids: frozenset[int]) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        self.paths = Paths(share_prompts=trunk.takes_tree_masks(network, 1))

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def context(self) -> int | None:
        """The longest text in tokens that the model was made for, where it says so."""
        return getattr(self.network.config, "max_position_embeddings", None)

    @property
    def reward_mean(self) -> float:
        """The mean score of held-out answers when the model was trained; 0 for a model that never measured it."""
        return _scale(trunk.plain_network(self.network), "reward_mean", 0.0)

    @property
    def reward_std(self) -> float:
        return _scale(trunk.plain_network(self.network), "reward_std", 1.0)

    def set_scale(self, *, mean: float, std: float) -> None:
        """Remember the scale of the scores; stored with the model."""
        config = trunk.plain_network(self.network).config
        config.reward_mean, config.reward_std = mean, std

    def trainable(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def encode(self, messages: Sequence[Message], *, max_tokens: int | None = None) -> Encoded:
        """The conversation; its last assistant turn is what is scored."""
        last = len(messages) - 1
        return encode_conversation(self.tokenizer, messages, stop_ids=self.stop_ids, num_context=last, max_tokens=max_tokens)

    def scores(self, batch: Batch) -> Tensor:
        """The head at each row's last real token, where the whole answer has been read.  [B]"""
        layout, values = self._values(batch)
        return values[layout.at.gather(1, batch.lengths[:, None] - 1).squeeze(1)]

    def state_values(self, batch: Batch) -> Tensor:
        """V before token t was chosen, that is the head at t - 1, on the response; zero elsewhere.  [B, T]"""
        layout, values = self._values(batch)
        picked = batch.response_at
        return torch.zeros(batch.tokens.shape, device=values.device).index_put(picked, values[layout.before[picked]])

    def _values(self, batch: Batch) -> tuple[Layout, Tensor]:
        """The head on every place of a layout.  layout, [R * C] float32"""
        layout = self.paths.layout(batch, self.network, pad_id=self.pad_id)
        with self.paths.autocast(self.device):
            hidden = trunk.hidden_states(self.network, layout, checkpointing=self.paths.checkpointing)
            values: Tensor = getattr(trunk.plain_network(self.network), HEAD)(hidden)
        return layout, values.squeeze(-1).float()

    def zero_head(self) -> None:
        """A head that knows nothing: every value is 0 until it is trained."""
        head = getattr(trunk.plain_network(self.network), HEAD)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.zero_()

    def save(self, folder: Path) -> None:
        """A plain transformers folder; an adapter is merged into its trunk first."""
        network = self.network
        if isinstance(network, PeftModel):
            network = adapters.merged(network)
        network.config.end_token_ids = sorted(self.stop_ids)  # a classifier has no generation settings to read them from
        with load.quiet_transformers():
            network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _head(network: PreTrainedModel, reference: str) -> nn.Linear:
    """The scalar head; raises ModelError for the kinds of model whose classifiers keep it elsewhere."""
    head = getattr(network, HEAD, None)
    if not isinstance(head, nn.Linear):
        raise ModelError(
            f"{reference}: a {network.config.model_type} classifier has no linear head named {HEAD}; it cannot be a reward model here."
        )
    return head


def _scale(network: PreTrainedModel, name: str, default: float) -> float:
    """A number of config.json, which comes from outside: NaN where it is none."""
    value = getattr(network.config, name, default)
    return float(value) if isinstance(value, int | float) else math.nan


def new_reward_model(reference: str, *, run_seed: int, lora: adapters.Lora | None = None) -> ScalarModel:
    """The trunk of a language model with a fresh head, weights ~ N(0, 1/(d+1)) as in arXiv:2009.01325."""
    causal = load.load_causal_lm(reference)
    tokenizer = load.load_tokenizer(reference)
    config = copy.deepcopy(causal.config)
    config.num_labels = 1
    config.pad_token_id = tokenizer.pad_token_id
    try:
        network = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise ModelError(f"{reference}: transformers has no scalar head for this kind of model.") from error
    network.base_model.load_state_dict(causal.base_model.state_dict())  # strict: every weight of the trunk, nothing else
    network.eval()
    head = _head(network, reference)
    generator = torch.Generator().manual_seed(seed.derive(run_seed, "reward head"))
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) / (head.in_features + 1) ** 0.5)
        if head.bias is not None:
            head.bias.zero_()
    declared = causal.generation_config.eos_token_id if causal.generation_config is not None else None
    stop_ids = load.stop_token_ids(tokenizer, declared)
    if lora is not None:
        network = adapters.add_lora(network, lora, task=TaskType.SEQ_CLS)
    load.to_default_device(network)
    return ScalarModel(network, tokenizer, stop_ids)


def load_reward_model(reference: str) -> ScalarModel:
    """A trained reward model; raises ModelError where any weight, the head above all, is not in the files."""
    load.check_folder(reference)
    tokenizer = load.load_tokenizer(reference)
    network = load.from_pretrained(AutoModelForSequenceClassification, reference)
    _head(network, reference)
    if not math.isfinite(_scale(network, "reward_mean", 0.0)) or not 0 < _scale(network, "reward_std", 1.0) < math.inf:
        raise ModelError(f"{reference}: reward_mean or reward_std in its config.json is no usable number. Train the model again.")
    if network.config.num_labels != 1:
        raise ModelError(f"{reference}: has {network.config.num_labels} labels; a reward model has one.")
    load.to_default_device(network)
    declared = getattr(network.config, "end_token_ids", network.config.eos_token_id)
    return ScalarModel(network, tokenizer, load.stop_token_ids(tokenizer, declared))


def load_critic(reference: str, *, lora: adapters.Lora | None = None) -> ScalarModel:
    """A critic that begins as the reward model: its trunk, and its head moved to the scale of the rewards that it will predict."""
    critic = load_reward_model(reference)
    head = getattr(critic.network, HEAD)
    scaled = nn.Linear(head.in_features, 1)
    with torch.no_grad():
        scaled.weight.copy_(head.weight / critic.reward_std)
        scaled.bias.fill_(-critic.reward_mean / critic.reward_std)
    setattr(critic.network, HEAD, scaled)
    if lora is not None:
        critic.network = adapters.add_lora(critic.network, lora, task=TaskType.SEQ_CLS)
    load.to_default_device(critic.network)
    return critic
