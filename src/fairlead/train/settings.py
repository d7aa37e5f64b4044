"""Settings that recipes share, each a table of a configuration: `[optim]`, `[adapter]`, `[hardware]`, and so
on.

Every table validates itself.  A recipe that uses a table gives its own defaults: `optim: Optim =
Optim(lr=5e-5)`. `docs/reference/configuration.md` is generated from this module.  It does not import torch,
so that `--help` answers at once.
"""

from dataclasses import dataclass, field
from typing import Literal

from fairlead.core.config_keys import Advanced, DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import require
from fairlead.core.precision import Precision
from fairlead.core.template_settings import Template as Template
from fairlead.ops.pool_names import Pool

Schedule = Literal["cosine", "linear", "constant"]
Breach = Literal["stop", "continue"]
Keep = Literal["last", "best"]
LongPrompts = Literal["error", "drop", "truncate-prompt"]
LongRows = Literal["error", "drop", "truncate-prompt", "truncate-answer"]


@dataclass(frozen=True, kw_only=True)
class Optim:
    """How the optimiser moves the weights."""

    lr: float  # peak learning rate
    warmup: int = 10  # steps of linear warm-up to the peak
    # learning rate after the warm-up: cosine and linear fall to a tenth of the peak at the last step,
    # constant stays at the peak
    schedule: Advanced[Schedule] = "cosine"
    weight_decay: Advanced[float] = 0.0  # decoupled weight decay of AdamW; biases and norms are not decayed
    max_norm: Advanced[float] = 1.0  # gradients with a larger norm are scaled down to it
    # 8 stores AdamW's moments in a quarter of the memory; needs bitsandbytes
    bits: Advanced[Literal[8, 32]] = 32

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", self.lr, "must be positive")
        require(self.warmup >= 0, "warmup", self.warmup, "must not be negative")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "must not be negative")
        require(self.max_norm > 0, "max_norm", self.max_norm, "must be positive")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """LoRA: train a small adapter on every linear layer instead of all weights."""

    rank: int = 16  # rank of the adapter; 0 trains all weights
    alpha: Advanced[int] = 32  # the adapter's output is scaled by alpha / rank
    # 4 keeps the frozen network under the adapter in 4 bits (QLoRA); needs bitsandbytes
    base_bits: Advanced[Literal[4, 32]] = 32

    def __post_init__(self) -> None:
        require(self.rank >= 0, "rank", self.rank, "must not be negative; 0 trains all weights")
        require(self.alpha > 0, "alpha", self.alpha, "must be positive")
        adapted = self.base_bits == 32 or self.rank > 0
        require(adapted, "base_bits", self.base_bits, "needs an adapter: rank must be above 0")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Memory and speed.  Apart from rounding, these settings do not change results."""

    # bfloat16 runs matrix products in bfloat16; pure-bfloat16 also stores weights and activations in it, with
    # float32 master weights
    precision: Precision = "float32"
    micro_tokens: int = 1024  # tokens per forward pass; 0 uses what the memory holds
    # recompute activations in the backward pass: less memory, about a third more time
    gradient_checkpointing: Advanced[bool] = False

    def __post_init__(self) -> None:
        why = "must not be negative; 0 uses what the memory holds"
        require(self.micro_tokens >= 0, "micro_tokens", self.micro_tokens, why)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """When a run saves its state, from which the same command resumes."""

    every: Advanced[int] = 50  # steps between checkpoints

    def __post_init__(self) -> None:
        require(self.every > 0, "every", self.every, "must be positive")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which rows of the data files are trained on and which are measured on."""

    held_out: float = 0.1  # share of the prompts that is kept for measuring
    max_tokens: int = 0  # longest row in tokens; 0 is the model's context length
    # longer rows: an error, left out, or without the oldest part of the prompt or the end of the answer
    too_long: LongRows = "error"
    measure_every: Advanced[int] = 50  # steps between measurements on the held-out rows

    def __post_init__(self) -> None:
        require(0 <= self.held_out < 1, "held_out", self.held_out, "is a share, from 0 to below 1")
        why = "must not be negative; 0 is the model's context length"
        require(self.max_tokens >= 0, "max_tokens", self.max_tokens, why)
        require(self.measure_every > 0, "measure_every", self.measure_every, "must be positive")

    def require_held_out(self) -> None:
        """For a recipe whose evidence comes from held-out rows."""
        why = "is a share between 0 and 1; the evidence needs held-out rows"
        require(self.held_out > 0, "data.held_out", self.held_out, why)


@dataclass(frozen=True, kw_only=True)
class ReadsConversations:
    """The table of every method that encodes conversations."""

    template: Template = Template()


@dataclass(frozen=True, kw_only=True)
class AnswersPrompts:
    """The key of every method that samples answers to prompts."""

    # what to do with prompts that leave no room for max_new_tokens: error refuses them; drop leaves them out;
    # truncate-prompt leaves out the oldest turns, then the beginning of the text
    too_long: LongPrompts = "error"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(ReadsConversations):
    """The keys and tables of every method that trains a model.  A method's `Config` adds its own."""

    name: str  # name of the model that is written
    seed: int = 0  # seed of all random choices
    optim: Optim
    adapter: Adapter = Adapter()
    hardware: Hardware = Hardware()
    checkpoints: Checkpoints = Checkpoints()


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """What is added to the main reward, and how scores are combined."""

    # further rewards, each with the weight of its score in the sum
    extra: dict[RewardModelRef, float] = field(default_factory=dict)
    # rewards whose mean score has to stay at or above a floor (Lagrange multipliers)
    constraints: dict[RewardModelRef, float] = field(default_factory=dict)
    # step size of a constraint's multiplier, per step and unit of its score
    constraint_lr: Advanced[float] = 0.1
    unfinished_penalty: float = 1.0  # subtracted from the score of an answer without an end-of-turn token
    # reward models to use although their admission report refuses them, separated by commas
    trust: Advanced[str] = ""
    # score of an ensemble: mean, worst (lowest member), or mean-variance (mean - pool_lambda * variance)
    pool: Advanced[Pool] = "mean"
    pool_lambda: Advanced[float] = 0.5  # weight of the variance in mean-variance

    def __post_init__(self) -> None:
        require(self.constraint_lr > 0, "constraint_lr", self.constraint_lr, "must be positive")
        require(self.pool_lambda >= 0, "pool_lambda", self.pool_lambda, "must not be negative")

    @property
    def roles(self) -> list[str]:
        """The inputs that contribute to an answer's reward, by their role in the lineage."""
        extra = [f"extra_rewards.{ref}" for ref in self.extra]
        return ["reward", *extra, *(f"constraints.{ref}" for ref in self.constraints)]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How rewards and judges score answers."""

    rule_timeout: Advanced[float] = 300.0  # seconds that one call of a rule may take; 0 sets no limit
    # what to do with prompts that a judge cannot read: error refuses them before the first step, drop leaves
    # them out
    unreadable_prompts: Advanced[Literal["error", "drop"]] = "error"
    # score of an answer that a judge cannot read; scores of reward models have mean 0 and deviation 1
    unreadable_score: Advanced[float] = -3.0

    def __post_init__(self) -> None:
        require(self.rule_timeout >= 0, "rule_timeout", self.rule_timeout, "must not be negative")


@dataclass(frozen=True, kw_only=True)
class Guard:
    """When a run goes back to the weights of its best step."""

    # a reward that is measured in every step and never trained on; takes the same values as reward
    probe: RewardModelRef = ""
    kl_budget: float = 0.0  # roll back when KL exceeds this many nats per answer; 0 disables
    probe_drop: float = 0.0  # roll back when the probe falls this far below its best; 0 disables
    patience: Advanced[int] = 3  # consecutive steps that the probe has to stay below before the roll back
    # after a roll back: stop, or continue from the best step with twice the kl_coef
    on_breach: Advanced[Breach] = "stop"
    # weights to publish: those of the last step, or of the best step by the probe
    keep: Advanced[Keep] = "last"

    def __post_init__(self) -> None:
        require(self.kl_budget >= 0, "kl_budget", self.kl_budget, "must not be negative; 0 disables")
        require(self.probe_drop >= 0, "probe_drop", self.probe_drop, "must not be negative; 0 disables")
        require(self.patience > 0, "patience", self.patience, "must be positive")
        has_probe = bool(self.probe)
        require(not self.probe_drop or has_probe, "probe_drop", self.probe_drop, "needs a probe")
        why = "needs a probe, which decides what the best step is"
        require(self.keep == "last" or has_probe, "keep", self.keep, why)

    @property
    def is_active(self) -> bool:
        """Whether the run keeps its best weights and may go back to them."""
        return self.kl_budget > 0 or self.probe_drop > 0 or self.keep == "best"

    def num_measurements(self, num_steps: int) -> int:
        """One before each step; an active guard measures once more, after the last step."""
        return num_steps + self.is_active


@dataclass(frozen=True, kw_only=True)
class Ptx:
    """PPO-ptx: a likelihood term on demonstrations or text in every update, against forgetting."""

    data: DatasetRef = ""  # demonstrations or text; empty leaves the term out
    coef: float = 0.1  # weight of the term, per token, beside the policy loss, per token
    batch: int = 32  # rows of it in each optimiser step
    # what to do with rows that exceed the model's context: as data.too_long
    too_long: Advanced[LongRows] = "error"

    def __post_init__(self) -> None:
        require(self.coef > 0, "coef", self.coef, "must be positive; leave ptx.data empty to go without")
        require(self.batch > 0, "batch", self.batch, "must be positive")


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(TrainingSettings, AnswersPrompts):
    """The keys and tables of a method that trains on the policy's own responses: PPO and GRPO."""

    model: ModelRef  # the policy to start from, and the reference: usually the SFT model
    # a reward model, a function score(prompt, answer, finished) as rule:FILE.py or rule:MODULE, or a judge
    # behind an endpoint as llm:FILE.toml
    reward: RewardModelRef
    prompts: DatasetRef  # native rows with a prompt
    steps: int = 100  # rounds of sampling and training
    batch: int = 128  # responses per step
    minibatches: int = 1  # optimiser steps per pass over the responses of a step
    max_new_tokens: int = 128  # longest response
    kl_coef: float  # cost of one nat of KL from the reference
    # the run stops if sampler_gap of its first step is larger, in nats; 0 is 0.01 in float32, 0.3 in bfloat16
    max_sampler_gap: Advanced[float] = 0.0
    checkpoints: Checkpoints = Checkpoints(every=10)
    rewards: Rewards = Rewards()
    scoring: Scoring = Scoring()
    guard: Guard = Guard()
