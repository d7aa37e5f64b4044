"""Reward-model settings stored in config.json: the scale of the scores, several aspects, steps of an answer.

Other tools can edit config.json.  Reading therefore never raises: an unusable value becomes NaN or an empty
tuple. `check_reward_config` then rejects the model with a message that names the field.
"""

import math
from typing import NamedTuple, get_args

from transformers import PreTrainedConfig

from fairlead.core.errors import ModelError
from fairlead.core.plural import counted
from fairlead.ops.pool_names import StepPool


class Aspects(NamedTuple):
    """One head for each aspect.  total = sum over aspects of weight * (score - mean) / std.

    Aspects(("correct", "kind"), (0.5, 0.5), (1.2, 0.1), (2.0, 0.4))
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]  # share of each aspect in the total
    means: tuple[float, ...]  # mean score of held-out answers, for each aspect
    stds: tuple[float, ...]  # standard deviation of the same scores


class StepSettings(NamedTuple):
    """How a process reward model turns an answer into one reward: StepSettings("\\n", "minimum")."""

    separator: str  # text between two steps
    pool: StepPool  # how the step probabilities are combined


class RewardScale(NamedTuple):
    """Mean and standard deviation of the scores of held-out answers.  (0, 1) if they were never measured."""

    mean: float
    std: float


def read_scale(config: PreTrainedConfig) -> RewardScale:
    """The stored scale.  NaN stands for a value that is not a number."""
    mean = _to_float(getattr(config, "reward_mean", 0.0))
    return RewardScale(mean, _to_float(getattr(config, "reward_std", 1.0)))


def read_aspects(config: PreTrainedConfig) -> Aspects | None:
    """The stored aspects, or None for a reward model with one head."""
    names = getattr(config, "reward_aspects", None)
    if names is None:
        return None
    fields = ("reward_weights", "reward_aspect_means", "reward_aspect_stds")
    stored = [getattr(config, field, None) for field in fields]
    numbers = [tuple(map(_to_float, values)) if isinstance(values, list) else () for values in stored]
    return Aspects(tuple(map(str, names)) if isinstance(names, list) else (), *numbers)


def read_steps(config: PreTrainedConfig) -> StepSettings | None:
    """The stored step settings, or None unless this is a process reward model."""
    if not getattr(config, "reward_steps", None):
        return None
    separator = getattr(config, "reward_step_separator", None) or ""
    return StepSettings(separator, getattr(config, "reward_step_pool", None) or "minimum")


def write_scale(config: PreTrainedConfig, scale: RewardScale) -> None:
    config.reward_mean = scale.mean
    config.reward_std = scale.std


def write_aspects(config: PreTrainedConfig, aspects: Aspects) -> None:
    config.reward_aspects = list(aspects.names)
    config.reward_weights = list(aspects.weights)
    config.reward_aspect_means = list(aspects.means)
    config.reward_aspect_stds = list(aspects.stds)


def write_steps(config: PreTrainedConfig, steps: StepSettings) -> None:
    config.reward_steps = True
    config.reward_step_separator = steps.separator
    config.reward_step_pool = steps.pool


def check_reward_config(config: PreTrainedConfig, reference: str) -> None:
    """Raise ModelError if the stored settings cannot produce a finite reward."""
    scale = read_scale(config)
    if not math.isfinite(scale.mean) or not 0 < scale.std < math.inf:
        raise ModelError(
            f"{reference}: reward_mean or reward_std in config.json is not a usable number. "
            "Train the model again."
        )
    aspects = read_aspects(config)
    steps = read_steps(config)
    if steps is not None and (
        aspects is not None or steps.pool not in get_args(StepPool) or not _is_text(steps.separator)
    ):
        raise ModelError(
            f"{reference}: config.json of a process reward model needs a non-empty reward_step_separator, "
            f"a reward_step_pool ({', '.join(get_args(StepPool))}) and no reward_aspects. "
            "Train the model again."
        )
    if aspects is None:
        if config.num_labels != 1:
            raise ModelError(
                f"{reference}: has {counted(config.num_labels or 0, 'label')}. "
                "A reward model has one label, or one for each "
                "of its reward_aspects."
            )
        return
    lengths = {len(values) for values in aspects}
    numbers = [*aspects.weights, *aspects.means, *aspects.stds]
    positive = all(std > 0 for std in aspects.stds)
    if lengths != {config.num_labels} or not all(map(math.isfinite, numbers)) or not positive:
        raise ModelError(
            f"{reference}: reward_aspects, reward_weights, reward_aspect_means and reward_aspect_stds in "
            f"config.json need one usable number for each of the {config.num_labels} labels. "
            "Train the model again."
        )


def _to_float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
