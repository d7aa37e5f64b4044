"""The knobs that many recipes share are refused by all of them, in the same words."""

import importlib
from typing import Any

import pytest

from fairlead.core import config as configs
from fairlead.core.errors import ConfigError

UPDATES: dict[str, tuple[Any, str]] = {
    "lr": (0.0, "must be positive"),
    "max_norm": (0.0, "must be positive"),
    "checkpoint_every": (0, "must be positive"),
    "micro_tokens": (-1, "must not be negative"),
    "lora_rank": (-1, "must not be negative"),
}
ROWS: dict[str, tuple[Any, str]] = {
    "batch": (0, "must be positive"),
    "measure_every": (0, "must be positive"),
}
FILES = {
    "reward": ("comparisons",),
    "process_reward": ("stepwise",),
    "kto": ("binary",),
    "uft": ("ratings",),
    "alternate": ("demonstrations", "comparisons"),
    "ppo": ("prompts", "reward"),
    "grpo": ("prompts", "reward"),
}
SAMPLES = ("ppo", "grpo")


@pytest.mark.parametrize("recipe", FILES)
def test_shared_knobs_are_refused_in_the_same_words(recipe: str) -> None:
    config = importlib.import_module(f"fairlead.recipes.{recipe}").Config
    values: dict[str, Any] = {"name": "made", "model": "base"} | dict.fromkeys(FILES[recipe], "given")
    values |= {"steps": 8} if recipe == "alternate" else {}
    configs.from_dict(config, values)
    for knob, (value, why) in (UPDATES | ({} if recipe in SAMPLES else ROWS)).items():
        with pytest.raises(ConfigError, match=f"{knob} = {value}: {why}"):
            configs.from_dict(config, values | {knob: value})
    with pytest.raises(ConfigError, match="base_bits = 4: needs an adapter"):
        configs.from_dict(config, values | {"base_bits": 4, "lora_rank": 0})
