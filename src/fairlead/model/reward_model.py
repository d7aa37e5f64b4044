"""Networks with a scalar head: the reward model (one number per conversation) and the critic (one per token).

Stored as transformers' sequence classification with one label, so that other tools read them too.  A head that is missing from the
files is refused, never made up.  A reward model of several aspects has a head, and a label, for each; what counts is their total,
which is one linear map of the same hidden state again.  A process reward model reads its one head at the end of every step of an answer.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from peft import PeftModel, TaskType
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from fairlead.core import seed
from fairlead.core.errors import ModelError
from fairlead.data.records import Message
from fairlead.encoding.batching import Batch
from fairlead.encoding.chat import Encoded, encode_conversation, encode_steps
from fairlead.forward import decoder
from fairlead.forward.backend import default_backend
from fairlead.forward.layout import Layout
from fairlead.model import adapters, load, quantize
from fairlead.model.policy import Policy
from fairlead.ops.pooling import StepPool, pooled_steps

ADAPTER = "adapter"  # folder beside a merged reward model with the adapter that was trained, which a policy on the same base can carry
HEAD = "score"  # the name that transformers gives the head of its decoder classifiers


class Aspects(NamedTuple):
    """The heads of a reward model of several aspects: total = sum of weight * (score - mean) / std."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    means: tuple[float, ...]  # of held-out answers, each aspect's own
    stds: tuple[float, ...]


class Steps(NamedTuple):
    """How a process reward model reads an answer."""

    separator: str  # what stands between two steps
    pool: StepPool  # what makes one score of theirs


class ScalarModel:
    """A trunk and one linear head on its last hidden states.

    Either a network of its own, or one adapter of a network that it shares with a policy, and a head beside it.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        stop_ids: frozenset[int],
        *,
        adapter: str = adapters.POLICY,
        head: nn.Linear | None = None,
    ) -> None:
        self._network = network
        self._head = head
        self.adapter = adapter  # the one that is on while this model runs
        self.reference = ""  # the model that its trunk was taken from
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        self.backend = default_backend(network)
        config = decoder.base_network(network).config
        self.reward_mean = _scale(
            config, "reward_mean", 0.0
        )  # of held-out answers when it was trained; 0 where that was never measured
        self.reward_std = _scale(config, "reward_std", 1.0)
        self.aspects = (
            None if head is not None else _aspects(config)
        )  # a head that stands beside gives the total
        self.steps = None if head is not None else _steps(config)

    @property
    def network(self) -> PreTrainedModel:
        """With this model's own adapter on."""
        adapters.activate(self._network, self.adapter)
        self.backend.apply_modules(self._network)
        return self._network

    @property
    def head(self) -> nn.Linear:
        found = self._head or getattr(decoder.base_network(self._network), HEAD)
        trained = getattr(
            found, "modules_to_save", {adapters.POLICY: found}
        )  # PEFT's copy of a head that is trained with an adapter
        head: nn.Linear = trained[adapters.POLICY]
        return head

    @property
    def device(self) -> torch.device:
        return next(self._network.parameters()).device

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def context(self) -> int | None:
        """The longest text in tokens that the model was made for, where it says so."""
        return getattr(self._network.config, "max_position_embeddings", None)

    def set_scale(self, *, mean: float, std: float) -> None:
        """Remember the scale of the scores; stored with the model."""
        self.reward_mean, self.reward_std = mean, std
        config = decoder.base_network(self._network).config
        config.reward_mean, config.reward_std = mean, std

    def set_aspects(self, aspects: Aspects) -> None:
        """Remember what the heads are and how they make the total; stored with the model."""
        self.aspects = aspects
        config = decoder.base_network(self._network).config
        config.reward_aspects, config.reward_weights = list(aspects.names), list(aspects.weights)
        config.reward_aspect_means, config.reward_aspect_stds = list(aspects.means), list(aspects.stds)

    def set_steps(self, steps: Steps) -> None:
        """Make it a process reward model; stored with the model."""
        self.steps = steps
        config = decoder.base_network(self._network).config
        config.reward_steps, config.reward_step_separator, config.reward_step_pool = (
            True,
            steps.separator,
            steps.pool,
        )

    def trainable(self) -> dict[str, nn.Parameter]:
        own = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        beside = (
            {} if self._head is None else {f"{HEAD}.{name}": p for name, p in self._head.named_parameters()}
        )
        return own | beside

    def encode(self, messages: Sequence[Message], *, max_tokens: int | None = None) -> Encoded:
        """The conversation; its last assistant turn is what is scored.  A process reward model is given the ends of its steps."""
        if self.steps is not None:
            return encode_steps(
                self.tokenizer, messages, self.steps.separator, stop_ids=self.stop_ids, max_tokens=max_tokens
            )
        last = len(messages) - 1
        return encode_conversation(
            self.tokenizer, messages, stop_ids=self.stop_ids, num_context=last, max_tokens=max_tokens
        )

    def scores(self, batch: Batch) -> Tensor:
        """The total of the heads at each row's last real token, where the whole answer has been read.  [B]

        Of a process reward model the probability that the steps are right, pooled.
        """
        if self.steps is not None:
            return pooled_steps(self.step_scores(batch), batch.response_mask, pool=self.steps.pool)
        return self.total(self.aspect_scores(batch))

    def aspect_scores(self, batch: Batch) -> Tensor:
        """Each head there.  [B, A]"""
        layout, values = self._values(batch)
        return values[layout.at.gather(1, batch.lengths[:, None] - 1).squeeze(1)]

    def step_scores(self, batch: Batch) -> Tensor:
        """The head where a step has been read, that is on the response of `encode_steps`; zero elsewhere.  [B, T]"""
        layout, values = self._values(batch)
        picked = batch.response_index
        return torch.zeros(batch.tokens.shape, device=values.device).index_put(
            picked, self.total(values[layout.at[picked]])
        )

    def total(self, aspect_scores: Tensor) -> Tensor:
        """[..., A] -> [...]"""
        if self.aspects is None:
            return aspect_scores.squeeze(-1)
        weights, means, stds = (
            torch.tensor(values, device=aspect_scores.device) for values in self.aspects[1:]
        )
        return ((aspect_scores - means) / stds * weights).sum(dim=-1)

    def state_values(self, batch: Batch) -> Tensor:
        """V before token t was chosen, that is the head at t - 1, on the response; zero elsewhere.  [B, T]"""
        layout, values = self._values(batch)
        picked = batch.response_index
        return torch.zeros(batch.tokens.shape, device=values.device).index_put(
            picked, self.total(values[layout.before[picked]])
        )

    def _values(self, batch: Batch) -> tuple[Layout, Tensor]:
        """The heads on every place of a layout.  layout, [R * C, A] float32"""
        layout = self.backend.layout(batch, self.network, pad_id=self.pad_id)
        with self.backend.autocast(self.device):
            hidden = decoder.hidden_states(
                self.network, layout, gradient_checkpointing=self.backend.gradient_checkpointing
            )
        head = (
            self.head
        )  # in float32 whatever the trunk runs in: differences of scores are small beside the scores
        bias = None if head.bias is None else head.bias.float()
        return layout, functional.linear(hidden.float(), head.weight.float(), bias)

    def zero_head(self) -> None:
        """A head that knows nothing: every value is 0 until it is trained."""
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.zero_()

    def save(self, folder: Path, *, final_folder: Path | None = None) -> None:
        """A plain transformers folder, for which an adapter is merged into its trunk; the adapter is kept beside, in `ADAPTER`.

        `final_folder` is where the folder will stand when it has its final name: the adapter names a local base relative to it.
        """
        network = self.network
        if isinstance(network, PeftModel):
            adapters.save(
                network,
                folder / ADAPTER,
                base=self.reference,
                final_folder=(final_folder or folder) / ADAPTER,
            )
            network = adapters.merge(network)
        network.config.end_token_ids = sorted(
            self.stop_ids
        )  # a classifier has no generation settings to read them from
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


def _scale(config: PreTrainedConfig, name: str, default: float) -> float:
    """A number of config.json, which comes from outside: NaN where it is none."""
    return _number(getattr(config, name, default))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _aspects(config: PreTrainedConfig) -> Aspects | None:
    """What config.json says of several heads, None where there is one.  It comes from outside, and is checked by `_check_scale`."""
    names = getattr(config, "reward_aspects", None)
    if names is None:
        return None
    lists = [getattr(config, f"reward_{what}", None) for what in ("weights", "aspect_means", "aspect_stds")]
    numbers = [tuple(map(_number, found)) if isinstance(found, list) else () for found in lists]
    return Aspects(tuple(map(str, names)) if isinstance(names, list) else (), *numbers)


def _steps(config: PreTrainedConfig) -> Steps | None:
    """What config.json says of steps, None where it knows none.  It comes from outside, and is checked by `_check_scale`."""
    if not getattr(config, "reward_steps", None):
        return None
    return Steps(
        getattr(config, "reward_step_separator", None) or "",
        getattr(config, "reward_step_pool", None) or "minimum",
    )


def new_reward_model(
    reference: str,
    *,
    run_seed: int,
    lora: adapters.Lora | None = None,
    aspects: Sequence[str] = (),
    weights: Sequence[float] = (),
) -> ScalarModel:
    """The trunk of a language model with a fresh head, weights ~ N(0, 1/(d+1)) as in arXiv:2009.01325; with `aspects`, one for each."""
    causal = load.load_causal_lm(reference)
    tokenizer = load.load_tokenizer(reference)
    config = copy.deepcopy(causal.config)
    config.num_labels = max(1, len(aspects))
    config.pad_token_id = tokenizer.pad_token_id
    try:
        network = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise ModelError(f"{reference}: transformers has no scalar head for this kind of model.") from error
    network.base_model.load_state_dict(
        causal.base_model.state_dict()
    )  # strict: every weight of the trunk, nothing else
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
    made = ScalarModel(network, tokenizer, stop_ids)
    made.reference = reference
    if aspects:
        made.set_aspects(
            Aspects(tuple(aspects), tuple(weights), (0.0,) * len(aspects), (1.0,) * len(aspects))
        )
    return made


def load_reward_model(reference: str) -> ScalarModel:
    """A trained reward model; raises ModelError where any weight, the head above all, is not in the files."""
    load.check_folder(reference)
    tokenizer = load.load_tokenizer(reference)
    network = load.from_pretrained(AutoModelForSequenceClassification, reference)
    _head(network, reference)
    _check_scale(network.config, reference)
    load.to_default_device(network)
    declared = getattr(network.config, "end_token_ids", network.config.eos_token_id)
    return ScalarModel(network, tokenizer, load.stop_token_ids(tokenizer, declared))


def load_critic(reference: str, *, lora: adapters.Lora | None = None) -> ScalarModel:
    """A critic that begins as the reward model: its trunk, and its head moved to the scale of the rewards that it will predict."""
    critic = load_reward_model(reference)
    network = critic.network
    setattr(
        network,
        HEAD,
        _on_the_rewards_scale(_total_head(critic.head.weight, critic.head.bias, critic.aspects), critic),
    )
    network.config.num_labels, network.config.reward_aspects, network.config.reward_steps = 1, None, None
    if lora is not None:
        network = adapters.add_lora(network, lora, task=TaskType.SEQ_CLS)
    load.to_default_device(network)
    return ScalarModel(network, critic.tokenizer, critic.stop_ids)


def shares_base(policy: Policy, reference: str) -> bool:
    """Whether a reward model was trained as an adapter on the very network that the policy's adapter stands on."""
    adapter = Path(reference) / ADAPTER
    if not policy.has_adapter or not (adapter / "adapter_config.json").is_file():
        return False
    base = load.adapter_base(adapter)
    same = (
        Path(base).resolve() == Path(policy.reference).resolve()
        if Path(base).is_dir()
        else base == policy.reference
    )
    return same and quantize.has_record(adapter) == quantize.is_quantized(
        decoder.base_network(policy.network)
    )


def load_shared_reward_model(policy: Policy, reference: str, *, name: str) -> ScalarModel:
    """A reward model as one more adapter on the policy's network, and its head.  Where `shares_base`; raises ModelError."""
    folder = Path(reference)
    config = load.read_config(reference)
    _check_scale(config, reference)
    weights = load.read_adapter(folder / ADAPTER)
    head_weight = [weights.pop(key) for key in sorted(weights) if key.endswith(f".{HEAD}.weight")]
    if len(head_weight) != 1 or head_weight[0].shape != (
        config.num_labels,
        policy.network.config.hidden_size,
    ):
        raise ModelError(
            f"{folder / ADAPTER}: holds no head like the one that its config.json tells of. Train the reward model again."
        )
    adapters.load_adapter(policy.network, name, folder / ADAPTER, weights)
    model = _beside(policy, name, _total_head(head_weight[0], None, _aspects(config)))
    model.steps = _steps(config)
    model.reward_mean, model.reward_std = (
        _scale(config, "reward_mean", 0.0),
        _scale(config, "reward_std", 1.0),
    )
    return model


def open_shared_critic(policy: Policy, reference: str | None, *, run_seed: int) -> ScalarModel:
    """A critic as one more adapter on the policy's network: a copy of the reward model's, or a fresh one with a head of zeros."""
    if reference is not None:
        model = load_shared_reward_model(policy, reference, name="critic")
        assert model._head is not None
        return _beside(policy, "critic", _on_the_rewards_scale(model._head, model))
    adapters.add_adapter(policy.network, "critic", run_seed=run_seed)
    critic = _beside(policy, "critic", nn.Linear(policy.network.config.hidden_size, 1))
    critic.zero_head()
    return critic


def _beside(policy: Policy, name: str, head: nn.Linear) -> ScalarModel:
    return ScalarModel(
        policy.network, policy.tokenizer, policy.stop_ids, adapter=name, head=head.to(policy.device)
    )


def _total_head(weight: Tensor, bias: Tensor | None, aspects: Aspects | None) -> nn.Linear:
    """The total of all heads as one head: linear maps of the same hidden state add up.  [A, H], [A]"""
    head = nn.Linear(weight.shape[1], 1, bias=bias is not None or aspects is not None)
    with torch.no_grad():
        if aspects is None:
            head.weight.copy_(weight)
            if bias is not None:
                head.bias.copy_(bias)
            return head
        weights, means, stds = (torch.tensor(values, device=weight.device) for values in aspects[1:])
        head.weight.copy_((weights / stds) @ weight)
        offsets = -means if bias is None else bias - means
        head.bias.fill_(float((weights / stds * offsets).sum()))
    return head


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _on_the_rewards_scale(head: nn.Linear, model: ScalarModel) -> nn.Linear:
    """(score - mean) / std as a head of its own; of a process reward model, whose steps are no rewards, a head of zeros."""
    scaled = nn.Linear(head.in_features, 1)
    with torch.no_grad():
        if model.steps is not None:
            scaled.weight.zero_()
            scaled.bias.zero_()
            return scaled
        scaled.weight.copy_(head.weight / model.reward_std)
        offset = 0.0 if head.bias is None else float(head.bias)
        scaled.bias.fill_((offset - model.reward_mean) / model.reward_std)
    return scaled


def _check_scale(config: PreTrainedConfig, reference: str) -> None:
    if (
        not math.isfinite(_scale(config, "reward_mean", 0.0))
        or not 0 < _scale(config, "reward_std", 1.0) < math.inf
    ):
        raise ModelError(
            f"{reference}: reward_mean or reward_std in its config.json is no usable number. Train the model again."
        )
    aspects, steps = _aspects(config), _steps(config)
    if steps is not None and (
        aspects is not None or steps.pool not in get_args(StepPool) or not _is_text(steps.separator)
    ):
        raise ModelError(
            f"{reference}: reward_step_separator or reward_step_pool in its config.json is of no use: a text and one of "
            f"{', '.join(get_args(StepPool))} are wanted, and no reward_aspects. Train the model again."
        )
    if aspects is None and config.num_labels != 1:
        raise ModelError(
            f"{reference}: has {config.num_labels} labels; a reward model has one, or one for each of its reward_aspects."
        )
    if aspects is None:
        return
    sizes = {len(values) for values in aspects}
    numbers = [value for values in aspects[1:] for value in values]
    if (
        sizes != {config.num_labels}
        or not all(map(math.isfinite, numbers))
        or not all(std > 0 for std in aspects.stds)
    ):
        raise ModelError(
            f"{reference}: reward_aspects, reward_weights, reward_aspect_means and reward_aspect_stds in its config.json are not a usable "
            f"number for each of its {config.num_labels} labels. Train the model again."
        )
