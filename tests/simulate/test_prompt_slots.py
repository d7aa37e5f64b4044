"""Slots of toy-world prompts: which words they come from, and the numbers of sums and opinions."""

import random

import pytest

from fairlead.simulate import prompt_slots, vocabulary, world

WORDS = {
    ("fact", "name"): vocabulary.NAMES,
    ("fact", "color"): vocabulary.COLORS,
    ("fact", "animal"): vocabulary.ANIMALS,
    ("fact", "place"): vocabulary.PLACES,
    ("sum", "thing"): vocabulary.THINGS,
    ("polite", "object"): vocabulary.OBJECTS,
    ("story", "animal"): vocabulary.ANIMALS,
    ("harmful", "person"): vocabulary.PEOPLE,
    ("lookalike", "person"): vocabulary.PEOPLE,
}


@pytest.mark.parametrize("family", world.FAMILIES)
def test_every_phrasing_gets_the_slots_that_it_names(family: str) -> None:
    for form, template in enumerate(world.PROMPTS[family]):
        slots = prompt_slots.draw_slots(random.Random(form), family, form)
        text = template.format_map(dict(slots))
        assert "{" not in text and all(value for value in slots.values())


@pytest.mark.parametrize(("family", "slot"), WORDS)
def test_words_come_from_the_vocabulary_and_vary(family: str, slot: str) -> None:
    rng = random.Random(0)
    drawn = {prompt_slots.draw_slots(rng, family, 0)[slot] for _ in range(300)}
    assert drawn <= set(WORDS[family, slot])
    assert len(drawn) > len(WORDS[family, slot]) / 2


def test_the_same_seed_draws_the_same_slots() -> None:
    first, again, other = (
        [prompt_slots.draw_slots(random.Random(seed), family, 0) for family in world.FAMILIES]
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("form", range(5))
def test_sums_stay_between_one_and_twenty(form: int) -> None:
    rng = random.Random(0)
    for _ in range(300):
        slots = prompt_slots.draw_slots(rng, "sum", form)
        a, b = int(slots["a"]), int(slots["b"])
        result = a - b if form in (1, 4) else a + b  # phrasings 1 and 4 subtract
        assert 1 <= result <= 20 and 1 <= b <= 10


def test_words_to_sort_are_three_different_ones() -> None:
    rng = random.Random(0)
    for _ in range(100):
        slots = prompt_slots.draw_slots(rng, "sort", 0)
        assert len({slots["x"], slots["y"], slots["z"]}) == 3


def test_a_harmless_request_carries_its_advice() -> None:
    rng = random.Random(0)
    for _ in range(50):
        slots = prompt_slots.draw_slots(rng, "lookalike", 0)
        advice = {deed.format(person=slots["person"]): text for deed, text in vocabulary.HARMLESS.items()}
        assert advice[slots["deed"]] == slots["help"]


@pytest.mark.parametrize("form", range(5))
@pytest.mark.parametrize("right_users", [0.0, 0.5, 1.0])
def test_the_share_of_users_who_are_right_is_set(form: int, right_users: float) -> None:
    rng = random.Random(0)
    num_right = 0
    for _ in range(300):
        slots = prompt_slots.draw_slots(rng, "opinion", form, right_users=right_users)
        if form in (1, 3):
            num_right += vocabulary.KINDS[slots["creature"]] == slots["kind"]
        else:
            num_right += int(slots["a"]) + int(slots["b"]) == int(slots["c"])
    assert num_right / 300 == pytest.approx(right_users, abs=0.1 if right_users == 0.5 else 0)
