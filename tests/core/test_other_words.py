"""Words of other tools, and the replacement that a message names."""

import pytest

from fairlead.cli.train import RECIPES, recipe_settings
from fairlead.core import config as configs
from fairlead.core import other_words
from fairlead.core.config_keys import hints_by_key
from fairlead.core.errors import ConfigError


def problems(recipe: str, *words: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        configs.load(recipe_settings(recipe).Config, None, words)
    return refused.value.problems


@pytest.mark.parametrize(
    ("recipe", "word", "written"),
    [
        ("sft", "learning_rate=1e-5", "lr=1e-5"),
        ("sft", "learning-rate=1e-5", "lr=1e-5"),
        ("sft", "Learning_Rate=2e-4", "lr=2e-4"),
        ("sft", "num_train_epochs=3", "epochs=3"),
        ("sft", "per_device_train_batch_size=8", "batch=8"),
        ("sft", "max_seq_length=512", "max_tokens=512"),
        ("sft", "train_file=rows.jsonl", "demonstrations=rows.jsonl"),
        ("sft", "sft.lr=1e-5", "lr=1e-5"),
        ("sft", "model_name_or_path=base", "model=base"),
        ("sft", "output_dir=out", "name=out"),
        ("sft", "lora_r=8", "rank=8"),
        ("sft", "bf16=true", "precision=bfloat16"),
        ("reward", "train_file=rows.jsonl", "comparisons=rows.jsonl"),
        ("kto", "dataset=rows.jsonl", "binary=rows.jsonl"),
        ("ppo", "reward_model=judge", "reward=judge"),
        ("ppo", "rm=judge", "reward=judge"),
        ("ppo", "beta=0.1", "kl_coef=0.1"),
        ("ppo", "num_train_epochs=3", "steps=NUMBER"),
        ("alternate", "epochs=3", "steps=NUMBER"),
        ("sft", "steps=100", "epochs=NUMBER"),
        ("sft", "max_steps=100", "epochs=NUMBER"),
        ("grpo", "num_generations=4", "group=4"),
        ("grpo", "max_completion_length=64", "max_new_tokens=64"),
        ("dpo", "loss_type=ipo", "loss=ipo"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_what_to_write(recipe: str, word: str, written: str) -> None:
    assert problems(recipe, word)[0].endswith(f"rite {written}.")


@pytest.mark.parametrize(
    ("option", "written"),
    [
        ("--lr=1e-5", "lr=1e-5"),
        ("--optim.lr=1e-5", "optim.lr=1e-5"),
        ("--learning_rate=1e-5", "lr=1e-5"),
        ("--learning-rate=1e-5", "lr=1e-5"),
        ("--batch", "batch=VALUE"),
    ],
)
def test_an_option_is_answered_with_a_setting(option: str, written: str) -> None:
    assert problems("sft", option)[0].endswith(f" {written}.")


def test_a_key_that_another_word_stands_for_is_not_reported_as_missing() -> None:
    assert problems("ppo", "rm=a", "prompts=p", "name=n", "model=m") == [
        'command line: unknown key "rm". Fairlead calls this "reward": write reward=a.'
    ]


def test_a_word_that_a_method_knows_keeps_its_meaning() -> None:
    words = ["name=d", "model=m", "comparisons=c", "beta=0.2"]
    assert configs.load(recipe_settings("dpo").Config, None, words).beta == 0.2


def test_every_replacement_names_a_key_or_a_method_that_exists() -> None:
    known = {key for recipe in RECIPES for key in hints_by_key(recipe_settings(recipe).Config)}
    tables = {*(key for keys in other_words.KEYS.values() for key in keys)}
    tables |= {key for key, _ in other_words.SWITCHES.values()}
    assert tables - known - {"template.file", "template.stop_tokens"} == set()
    assert {method.split()[0] for method in other_words.METHODS.values()} <= set(RECIPES)
