"""Reward-model settings in config.json: what is stored is read back, and unusable values are refused."""

import math
from typing import Any

import pytest
from transformers import LlamaConfig

from fairlead.core.errors import ModelError
from fairlead.model import reward_config
from fairlead.model.reward_config import Aspects, RewardScale, StepSettings

ASPECTS = Aspects(("correct", "kind"), (0.5, 0.5), (1.2, 0.1), (2.0, 0.4))


def config_with(num_labels: int = 1, **values: Any) -> LlamaConfig:
    config = LlamaConfig()
    config.num_labels = num_labels
    for name, value in values.items():
        setattr(config, name, value)
    return config


def test_a_config_without_settings_has_a_plain_head() -> None:
    config = config_with()
    assert reward_config.read_scale(config) == RewardScale(0.0, 1.0)
    assert reward_config.read_aspects(config) is None
    assert reward_config.read_steps(config) is None
    reward_config.check_reward_config(config, "model")


def test_settings_survive_config_json() -> None:
    config = config_with(num_labels=2)
    reward_config.write_scale(config, RewardScale(0.5, 2.0))
    reward_config.write_aspects(config, ASPECTS)
    stored = LlamaConfig.from_dict(config.to_dict())
    assert reward_config.read_scale(stored) == RewardScale(0.5, 2.0)
    assert reward_config.read_aspects(stored) == ASPECTS
    reward_config.check_reward_config(stored, "model")
    process = config_with()
    reward_config.write_steps(process, StepSettings("\n", "product"))
    stored = LlamaConfig.from_dict(process.to_dict())
    assert reward_config.read_steps(stored) == StepSettings("\n", "product")
    reward_config.check_reward_config(stored, "model")


def test_reading_turns_values_of_another_type_into_nan_and_empty_tuples() -> None:
    scale = reward_config.read_scale(config_with(reward_mean="high", reward_std=None))
    assert math.isnan(scale.mean) and math.isnan(scale.std)
    aspects = reward_config.read_aspects(config_with(reward_aspects="correct", reward_weights=[1.0, "two"]))
    assert aspects is not None and aspects.names == () and aspects.means == ()
    assert aspects.weights[0] == 1.0 and math.isnan(aspects.weights[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reward_mean": math.nan}, "reward_mean or reward_std in config.json is not a usable number"),
        ({"reward_std": 0.0}, "reward_mean or reward_std"),
        ({"reward_std": math.inf}, "reward_mean or reward_std"),
        ({"reward_std": "2"}, "reward_mean or reward_std"),
        ({"num_labels": 3}, "has 3 labels"),
        ({"reward_steps": True}, "needs a non-empty reward_step_separator"),
        (
            {"reward_steps": True, "reward_step_separator": "\n", "reward_step_pool": "best"},
            "a reward_step_pool",
        ),
        ({"reward_steps": True, "reward_step_separator": 7}, "a non-empty reward_step_separator"),
    ],
)
def test_unusable_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"^model: .*{message}"):
        reward_config.check_reward_config(config_with(**values), "model")


@pytest.mark.parametrize(
    "changes",
    [
        {"reward_weights": [0.5]},
        {"reward_weights": [0.5, math.nan]},
        {"reward_aspect_means": None},
        {"reward_aspect_stds": [2.0, 0.0]},
        {"reward_aspects": ["correct"]},
        {"num_labels": 3},
    ],
)
def test_aspects_need_one_usable_number_for_each_label(changes: dict[str, Any]) -> None:
    config = config_with(num_labels=2)
    reward_config.write_aspects(config, ASPECTS)
    reward_config.check_reward_config(config, "model")
    for name, value in changes.items():
        setattr(config, name, value)
    with pytest.raises(ModelError, match="one usable number for each of the"):
        reward_config.check_reward_config(config, "model")


def test_a_process_reward_model_has_no_aspects() -> None:
    config = config_with(num_labels=2)
    reward_config.write_aspects(config, ASPECTS)
    reward_config.write_steps(config, StepSettings("\n", "mean"))
    with pytest.raises(ModelError, match="no reward_aspects"):
        reward_config.check_reward_config(config, "model")
