"""Configurations can be read without torch, and no default names an input."""

import dataclasses
import importlib

import pytest
from repository import RECIPES, python

from fairlead.core import config_keys
from fairlead.core.partial_module import load_names

INPUTS = ("model", "reward-model", "dataset", "rollouts")

WITHOUT_TORCH = """
import sys
from fairlead.core.config_keys import keys
from fairlead.core.partial_module import load_names
loaded = load_names("fairlead.recipes.{recipe}", ("Config", "KIND"))
assert len(keys(loaded.Config)) > 2 and loaded.KIND
heavy = {{"torch", "transformers", "scipy", "numpy", "sqlalchemy"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_configuration_is_read_without_torch(recipe: str) -> None:
    result = python(WITHOUT_TORCH.format(recipe=recipe))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_keys_read_without_torch_equal_those_of_the_recipe(recipe: str) -> None:
    module = importlib.import_module(f"fairlead.recipes.{recipe}")
    light = load_names(module.__name__, ("Config", "KIND"))
    assert light.Config is not module.Config
    assert config_keys.keys(light.Config) == config_keys.keys(module.Config)
    assert light.KIND == module.KIND
    names = [field.name for field in dataclasses.fields(light.Config)]
    assert names == [field.name for field in dataclasses.fields(module.Config)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_that_names_an_input_is_required_or_empty(recipe: str) -> None:
    """A default that named an artifact would be an input that nobody asked for."""
    keys = config_keys.keys(importlib.import_module(f"fairlead.recipes.{recipe}").Config)
    inputs = [key for key in keys if key.type in INPUTS]
    assert inputs
    assert all(key.default in (None, "''") for key in inputs)
    assert all(key.default == "{}" for key in keys if key.type.startswith("table of "))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_has_help(recipe: str) -> None:
    keys = config_keys.keys(importlib.import_module(f"fairlead.recipes.{recipe}").Config)
    assert [key.full_name for key in keys if not key.help] == []
