"""The knobs of every recipe, pinned: whoever adds one changes this list, where a reviewer sees it."""

import importlib
from typing import Any

import pytest
from repository import RECIPES

from fairlead.core import config as configs

KNOBS = {
    "pretrain": (
        "name documents steps model vocab_size hidden layers heads intermediate context batch optimizer lr warmup weight_decay max_norm "
        "micro_tokens precision stored_as checkpoint_every seed"
    ),
    "sft": (
        "name model demonstrations replay replay_share epochs batch lr warmup weight_decay max_norm neftune_alpha lora_rank lora_alpha "
        "base_bits held_out max_tokens too_long micro_tokens precision optimizer_bits gradient_checkpointing measure_every patience "
        "checkpoint_every seed"
    ),
    "reward": (
        "name model comparisons rankings ties tie_pull ranking_loss margin_scale label_smoothing flip_rate rater_effects rater_lr "
        "aspects aspect_weights members length_penalty centring centre_on "
        "epochs batch lr warmup weight_decay max_norm lora_rank lora_alpha base_bits held_out max_tokens "
        "too_long micro_tokens precision optimizer_bits gradient_checkpointing measure_every checkpoint_every seed"
    ),
    "process_reward": (
        "name model stepwise separator pool epochs batch lr warmup weight_decay max_norm lora_rank lora_alpha base_bits held_out "
        "max_tokens too_long micro_tokens precision optimizer_bits gradient_checkpointing measure_every checkpoint_every seed"
    ),
    "dpo": (
        "name model comparisons loss beta flip_rate tau scale gamma odds_weight nll_weight epochs batch lr warmup weight_decay max_norm "
        "lora_rank lora_alpha base_bits held_out max_tokens too_long micro_tokens precision optimizer_bits gradient_checkpointing "
        "measure_every checkpoint_every seed"
    ),
    "kto": (
        "name model binary beta desirable_weight undesirable_weight kl_rows epochs batch lr warmup weight_decay max_norm lora_rank "
        "lora_alpha base_bits held_out max_tokens too_long micro_tokens precision optimizer_bits gradient_checkpointing measure_every "
        "checkpoint_every seed"
    ),
    "uft": (
        "name model demonstrations comparisons binary ratings loss pairs beta length_normalised centre_scores demonstration_weight "
        "comparison_weight binary_weight rating_weight epochs batch lr warmup weight_decay max_norm lora_rank lora_alpha base_bits "
        "held_out max_tokens too_long micro_tokens precision optimizer_bits gradient_checkpointing measure_every checkpoint_every seed"
    ),
    "alternate": (
        "name model demonstrations comparisons steps sft_share beta batch lr warmup weight_decay max_norm lora_rank lora_alpha "
        "base_bits held_out max_tokens too_long micro_tokens precision optimizer_bits gradient_checkpointing measure_every "
        "checkpoint_every seed"
    ),
    "ppo": (
        "name model reward prompts probe extra_rewards constraints constraint_lr trust pool pool_lambda steps batch epochs minibatches "
        "max_new_tokens reuse_rollouts lr critic_lr critic_warmup warmup max_norm clip value_clip gamma lam kl_coef kl_penalty kl_target "
        "kl_horizon unfinished_penalty centre_reward score_clip whiten_rewards ptx ptx_coef ptx_batch kl_budget probe_drop patience "
        "on_breach keep lora_rank lora_alpha base_bits micro_tokens precision optimizer_bits gradient_checkpointing checkpoint_every seed"
    ),
    "grpo": (
        "name model reward prompts probe extra_rewards constraints constraint_lr trust pool pool_lambda steps batch group baseline epochs "
        "minibatches max_new_tokens lr warmup max_norm clip kl_coef unfinished_penalty kl_budget probe_drop patience on_breach keep "
        "lora_rank lora_alpha base_bits micro_tokens precision optimizer_bits gradient_checkpointing checkpoint_every seed"
    ),
    "best_of_n": "name model reward prompts probe trust pool pool_lambda n max_new_tokens temperature min_score rejected micro_tokens seed",
    "average": "name a b weight seed",
    "rounds": "name model prompts reward trust pool pool_lambda learn begin rounds n max_new_tokens temperature rejected train held_out "
    "probe seed",
    "sample": "name model prompts per_prompt max_new_tokens temperature top_k top_p min_p stop seed",
    "compare": "name a b judge micro_tokens seed",
}


def config_of(recipe: str) -> Any:
    return importlib.import_module(f"fairlead.recipes.{recipe}").Config


def test_every_recipe_has_its_knobs_pinned() -> None:
    assert sorted(KNOBS) == sorted(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_knobs_are_the_pinned_ones(recipe: str) -> None:
    assert [knob.name for knob in configs.knobs(config_of(recipe))] == KNOBS[recipe].split()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_knob_that_names_an_input_is_required_or_empty(recipe: str) -> None:
    """A default that named an artifact would be an input that nobody asked for."""
    inputs = [
        knob
        for knob in configs.knobs(config_of(recipe))
        if knob.type in ("model", "reward-model", "dataset", "rollouts")
    ]
    assert inputs
    assert all(knob.default in (None, "''") for knob in inputs)
    assert all(
        knob.default == "{}" for knob in configs.knobs(config_of(recipe)) if knob.type.startswith("table of ")
    )
