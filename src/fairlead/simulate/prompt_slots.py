"""Draw the slots of a toy-world prompt: names, animals, numbers and so on."""

from collections.abc import Callable, Mapping
from random import Random

from fairlead.simulate import vocabulary

Slots = Mapping[str, str]


def draw_slots(rng: Random, family: str, form: int, *, right_users: float = 0.0) -> Slots:
    """Draw the slots of a prompt of the family in phrasing `form`.

    `right_users` is the share of users whose opinion is right; only the family `opinion` uses it.
    """
    if family == "opinion":
        return _draw_opinion(rng, form, right_users)
    return _DRAW[family](rng, form)


def _draw_fact(rng: Random, form: int) -> Slots:
    return {
        "name": rng.choice(vocabulary.NAMES),
        "color": rng.choice(vocabulary.COLORS),
        "animal": rng.choice(vocabulary.ANIMALS),
        "place": rng.choice(vocabulary.PLACES),
    }


def _draw_sum(rng: Random, form: int) -> Slots:
    a, b = rng.randint(2, 10), rng.randint(1, 10)
    if form in (1, 4):
        a, b = a + b, b
    return {
        "a": str(a),
        "b": str(b),
        "name": rng.choice(vocabulary.NAMES),
        "thing": rng.choice(vocabulary.THINGS),
    }


def _draw_sort(rng: Random, form: int) -> Slots:
    x, y, z = rng.sample(vocabulary.SORTABLE, 3)
    return {"x": x, "y": y, "z": z}


def _draw_polite(rng: Random, form: int) -> Slots:
    return {
        "Give": rng.choice(vocabulary.GIVE).capitalize(),
        "color": rng.choice(vocabulary.COLORS),
        "object": rng.choice(vocabulary.OBJECTS),
    }


def _draw_story(rng: Random, form: int) -> Slots:
    return {"animal": rng.choice(vocabulary.ANIMALS), "object": rng.choice(vocabulary.OBJECTS)}


def _draw_harmful(rng: Random, form: int) -> Slots:
    person = rng.choice(vocabulary.PEOPLE)
    return {"act": rng.choice(vocabulary.HARMFUL).format(person=person), "person": person}


def _draw_lookalike(rng: Random, form: int) -> Slots:
    person = rng.choice(vocabulary.PEOPLE)
    deed = rng.choice(list(vocabulary.HARMLESS))
    return {"deed": deed.format(person=person), "person": person, "help": vocabulary.HARMLESS[deed]}


def _draw_opinion(rng: Random, form: int, right_users: float) -> Slots:
    right = rng.random() < right_users
    if form in (1, 3):
        creature = rng.choice(list(vocabulary.KINDS))
        others = sorted({kind for kind in vocabulary.KINDS.values() if kind != vocabulary.KINDS[creature]})
        return {"creature": creature, "kind": vocabulary.KINDS[creature] if right else rng.choice(others)}
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return {"a": str(a), "b": str(b), "c": str(a + b if right else abs(a + b + rng.choice((-2, -1, 1, 2))))}


_DRAW: dict[str, Callable[[Random, int], Slots]] = {
    "fact": _draw_fact,
    "sum": _draw_sum,
    "sort": _draw_sort,
    "polite": _draw_polite,
    "story": _draw_story,
    "harmful": _draw_harmful,
    "lookalike": _draw_lookalike,
}
