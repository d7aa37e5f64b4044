"""Shared tables refuse impossible values, with the same message in every recipe that uses them."""

import importlib
from typing import Any

import pytest

from fairlead.core import config as configs
from fairlead.core import config_keys
from fairlead.core.errors import ConfigError
from fairlead.train.settings import Adapter, Checkpoints, Data, Guard, Hardware, Optim, Ptx, Rewards

REFUSED: list[tuple[str, type, dict[str, Any], str]] = [
    ("optim", Optim, {"lr": 0.0}, "lr = 0.0: must be positive"),
    ("optim", Optim, {"warmup": -1}, "warmup = -1: must not be negative"),
    ("optim", Optim, {"weight_decay": -0.1}, "weight_decay = -0.1: must not be negative"),
    ("optim", Optim, {"max_norm": 0.0}, "max_norm = 0.0: must be positive"),
    ("adapter", Adapter, {"rank": -1}, "rank = -1: must not be negative; 0 trains all weights"),
    ("adapter", Adapter, {"alpha": 0}, "alpha = 0: must be positive"),
    ("adapter", Adapter, {"rank": 0, "base_bits": 4}, "base_bits = 4: needs an adapter"),
    ("hardware", Hardware, {"micro_tokens": -1}, "micro_tokens = -1: must not be negative"),
    ("checkpoints", Checkpoints, {"every": 0}, "every = 0: must be positive"),
    ("data", Data, {"held_out": 1.0}, "held_out = 1.0: is a share, from 0 to below 1"),
    ("data", Data, {"max_tokens": -1}, "max_tokens = -1: must not be negative"),
    ("data", Data, {"measure_every": 0}, "measure_every = 0: must be positive"),
    ("rewards", Rewards, {"constraint_lr": 0.0}, "constraint_lr = 0.0: must be positive"),
    ("rewards", Rewards, {"pool_lambda": -1.0}, "pool_lambda = -1.0: must not be negative"),
    ("guard", Guard, {"kl_budget": -1.0}, "kl_budget = -1.0: must not be negative; 0 disables"),
    ("guard", Guard, {"probe_drop": -1.0}, "probe_drop = -1.0: must not be negative; 0 disables"),
    ("guard", Guard, {"patience": 0}, "patience = 0: must be positive"),
    ("guard", Guard, {"probe_drop": 0.1}, "probe_drop = 0.1: needs a probe"),
    ("guard", Guard, {"keep": "best"}, "keep = 'best': needs a probe"),
    ("ptx", Ptx, {"coef": 0.0}, "coef = 0.0: must be positive"),
    ("ptx", Ptx, {"batch": 0}, "batch = 0: must be positive"),
]
REQUIRED: dict[str, dict[str, Any]] = {
    "sft": {"demonstrations": "d"},
    "reward": {"comparisons": "c"},
    "process_reward": {"stepwise": "s"},
    "dpo": {"comparisons": "c"},
    "kto": {"binary": "b"},
    "uft": {"ratings": "r"},
    "alternate": {"demonstrations": "d", "comparisons": "c", "steps": 8},
    "ppo": {"prompts": "p", "reward": "r"},
    "grpo": {"prompts": "p", "reward": "r"},
}


@pytest.mark.parametrize(("table_class", "values", "why"), [case[1:] for case in REFUSED])
def test_a_table_refuses_an_impossible_value(table_class: type, values: dict[str, Any], why: str) -> None:
    needed = {"lr": 1.0} if table_class is Optim else {}
    table_class(**needed)
    with pytest.raises(ValueError, match=f"^{why}"):
        table_class(**needed | values)


@pytest.mark.parametrize("recipe", REQUIRED)
def test_a_recipe_reports_the_value_with_its_table(recipe: str) -> None:
    config = importlib.import_module(f"fairlead.recipes.{recipe}").Config
    values: dict[str, Any] = {"name": "new", "model": "base"} | REQUIRED[recipe]
    configs.from_dict(config, values)
    for table, _, wrong, why in REFUSED:
        if table in config_keys.tables(config):
            with pytest.raises(ConfigError, match=f"{table}.{why}"):
                configs.from_dict(
                    config, values | {f"{table}.{leaf}": value for leaf, value in wrong.items()}
                )


def test_some_recipes_need_held_out_rows() -> None:
    Data(held_out=0.1).require_held_out()
    with pytest.raises(ValueError, match="data.held_out = 0.0: is a share between 0 and 1"):
        Data(held_out=0.0).require_held_out()


def test_roles_of_rewards() -> None:
    rewards = Rewards(extra={"style": 0.5}, constraints={"harmless": 0.9})
    assert rewards.roles == ["reward", "extra_rewards.style", "constraints.harmless"]


def test_an_active_guard_measures_once_more() -> None:
    assert Guard().num_measurements(8) == 8
    for active in (Guard(kl_budget=1.0), Guard(probe="p", probe_drop=0.1), Guard(probe="p", keep="best")):
        assert active.is_active and active.num_measurements(8) == 9
