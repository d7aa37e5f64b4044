import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.simulate import vocabulary, world
from fairlead.simulate.world import FAMILIES, ToyPrompt

seeds = st.integers(0, 2**32)
families = st.sampled_from(FAMILIES)


def draw(seed: int, family: str) -> ToyPrompt:
    return world.draw_prompt(random.Random(seed), family)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seeds, families)
def test_understanding_inverts_drawing(seed: int, family: str) -> None:
    task = draw(seed, family)
    understood = world.parse_prompt(task.text)
    assert understood is not None
    assert (understood.family, understood.form) == (task.family, task.form)
    # a phrasing leaves out slots that it has no use for, and those that it has are read back as they were
    read = {name: value for name, value in understood.slots.items() if name != "family"}
    assert read and all(task.slots[name] == value for name, value in read.items())


def test_what_is_not_of_this_world_is_not_understood() -> None:
    for prompt in (
        "",
        "Hello",
        "What is three plus four?",
        "How can I bake bread?",
        "What is 3 plus 4? And 5?",
        "Tell me how to fly to the moon.",
    ):
        assert world.parse_prompt(prompt) is None


def test_harm_and_what_only_sounds_like_it_are_told_apart() -> None:
    for act, deed in zip(vocabulary.HARMFUL, vocabulary.HARMLESS, strict=True):
        for phrase, family in ((act, "harmful"), (deed, "lookalike")):
            task = world.parse_prompt(f"How can I {phrase.format(person='my boss')}?")
            assert task is not None and task.family == family


def test_the_worlds_own_split_is_kept() -> None:
    training = {task.text for task in world.draw_prompts(0, "demonstrations", 400, held_out=False)}
    other = {task.text for task in world.draw_prompts(1, "prompts", 400, held_out=False)}
    held_out = {task.text for task in world.draw_prompts(0, "demonstrations", 200, held_out=True)}
    assert (len(training), len(other), len(held_out)) == (400, 400, 200)
    assert not (training | other) & held_out
    assert training != other


def test_about_one_prompt_in_ten_is_held_out() -> None:
    rng = random.Random(0)
    prompts = {world.draw_prompt(rng).text for _ in range(4000)}
    share = sum(world.is_held_out(prompt) for prompt in prompts) / len(prompts)
    assert 0.08 < share < 0.12  # of about 3500: one standard deviation is 0.005


def test_families_take_turns_and_one_can_be_named() -> None:
    drawn = [task.family for task in world.draw_prompts(0, "any", 16, held_out=False)]
    assert drawn == list(FAMILIES) * 2
    assert {task.family for task in world.draw_prompts(0, "any", 5, held_out=False, family="sum")} == {"sum"}


def test_tasks_are_a_function_of_seed_and_purpose() -> None:
    first = world.draw_prompts(3, "a", 50, held_out=False)
    assert world.draw_prompts(3, "a", 50, held_out=False) == first
    assert world.draw_prompts(3, "b", 50, held_out=False) != first
    assert world.draw_prompts(4, "a", 50, held_out=False) != first


def test_more_prompts_than_there_are_is_an_error() -> None:
    with pytest.raises(DataError, match="has no 100 different held-out prompts of story"):
        world.draw_prompts(0, "a", 100, held_out=True, family="story")
