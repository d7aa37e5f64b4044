"""Task kinds: which values raters may submit, how values are stored by candidate, and options of leads."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.labels import task_kinds
from fairlead.labels.errors import Invalid
from fairlead.labels.task_kinds import TaskKind

OPTIONS: dict[str, Any] = {"aspects": ["helpful", "honest"], "chips": [], "points": 7}


def to_stored(
    kind: TaskKind, value: dict[str, Any], order: tuple[int, ...] = (), num_turns: int = 0
) -> dict[str, Any]:
    return task_kinds.to_stored(kind, OPTIONS, value, order, num_turns=num_turns)


@pytest.mark.parametrize(
    ("choice", "preference", "tie"),
    [
        (1, 3, None),
        (2, 2, None),
        (3, 1, None),
        (4, 0, "good"),
        (5, 0, "bad"),
        (6, -1, None),
        (7, -2, None),
        (8, -3, None),
    ],
)
def test_pairwise_choices(choice: int, preference: int, tie: str | None) -> None:
    """Choice 1 means that A is much better.  A is candidate 0 in the first order, and 1 in the second."""
    assert to_stored("pairwise", {"choice": choice}, (0, 1)) == {"preference": preference, "tie": tie}
    assert to_stored("pairwise", {"choice": choice}, (1, 0)) == {"preference": -preference, "tie": tie}
    assert task_kinds.margin("pairwise", {"preference": preference}) == abs(preference)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("choice", "worse"), [(1, "B"), (3, "B"), (6, "A"), (8, "A")])
def test_an_edit_of_the_worse_answer_is_refused_unless_it_is_confirmed(
    choice: int, worse: str, order: tuple[int, int]
) -> None:
    better = "AB".replace(worse, "")
    edit = {"letter": worse, "text": "Changed."}
    with pytest.raises(Invalid, match=f"is of answer {worse}, but answer {better} is preferred"):
        to_stored("pairwise", {"choice": choice, "edit": edit}, order)
    for wrong in (False, 1, "yes", None):
        with pytest.raises(Invalid):
            to_stored("pairwise", {"choice": choice, "edit": edit | {"worse": wrong}}, order)
    confirmed = {"choice": choice, "edit": edit | {"worse": True}}
    stored = to_stored("pairwise", confirmed, order)
    assert stored["edit"] == {"candidate": order["AB".index(worse)], "text": "Changed.", "worse": True}
    assert task_kinds.to_shown("pairwise", stored, order) == confirmed
    # Nothing to confirm: the better answer is edited, or neither is better.
    for value in ({"choice": choice, "edit": edit | {"letter": better}}, {"choice": 4, "edit": edit}):
        assert "worse" not in to_stored("pairwise", value, order)["edit"]


@pytest.mark.parametrize(
    ("kind", "value"), [("ranking", {"ranks": {"A": 1, "B": 2}}), ("rating", {"score": 1})]
)
def test_kinds_without_a_better_answer_take_no_edit(kind: TaskKind, value: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="edit: is not a field"):
        to_stored(kind, value | {"edit": {"letter": "B", "text": "x"}}, (0, 1))


def test_pairwise_aspects_and_edit() -> None:
    value = {
        "choice": 7,
        "aspects": {"helpful": "A", "honest": "="},
        "edit": {"letter": "B", "text": "Better."},
    }
    expected = {
        "preference": 2,
        "tie": None,
        "aspects": {"helpful": -1, "honest": 0},
        "edit": {"candidate": 0, "text": "Better."},
    }
    assert to_stored("pairwise", value, (1, 0)) == expected


def test_a_ranking_is_stored_by_candidate() -> None:
    """A, B, C and D are the candidates 2, 0, 3 and 1.  B is best, A and D tie, and C is not ranked."""
    assert to_stored("ranking", {"ranks": {"B": 1, "A": 2, "D": 2}}, (2, 0, 3, 1)) == {
        "ranks": [1, 2, 2, None]
    }


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("rating", {"score": 7}, {"score": 7}),
        ("thumbs", {"label": False}, {"label": False}),
        ("aspects", {"aspects": {"helpful": 1, "honest": 7}}, {"aspects": {"helpful": 1, "honest": 7}}),
        ("demonstration", {"text": "Hello."}, {"text": "Hello."}),
        (
            "conversation",
            {"turns": {"1": {"label": True}, "3": {"score": 2}}},
            {"turns": {"1": {"label": True}, "3": {"score": 2}}},
        ),
        ("chat", {}, {}),
        ("chat", {"score": 3}, {"score": 3}),
        ("chat", {"score": None}, {}),
    ],
)
def test_values_of_other_kinds_are_stored_unchanged(
    kind: TaskKind, value: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert to_stored(kind, value, (), num_turns=4) == expected
    assert task_kinds.to_shown(kind, expected, ()) == expected


def test_a_live_chat_needs_a_turn_with_a_choice() -> None:
    with pytest.raises(Invalid, match="must include a choice"):
        to_stored("chat", {"score": 3}, (), num_turns=0)
    assert to_stored("chat", {"cannot": "judge"}, (), num_turns=0) == {"cannot": "judge"}


def test_an_edit_names_the_candidate_of_its_letter() -> None:
    assert to_stored("edit", {"letter": "B", "text": "x"}, (2, 0, 1)) == {"candidate": 0, "text": "x"}
    assert to_stored("edit", {"text": "x"}, (0,)) == {"candidate": 0, "text": "x"}


@pytest.mark.parametrize("kind", task_kinds.TASK_KINDS)
@pytest.mark.parametrize("why", task_kinds.CANNOT_REASONS)
def test_every_item_can_be_declared_unjudgeable(kind: TaskKind, why: str) -> None:
    order = tuple(range(task_kinds.NUM_ANSWERS[kind][1]))
    assert to_stored(kind, {"cannot": why}, order) == {"cannot": why}
    assert task_kinds.to_shown(kind, {"cannot": why}, order) == {"cannot": why}
    assert task_kinds.margin(kind, {"cannot": why}) is None
    for wrong in (
        {"cannot": "be bothered"},
        {"cannot": why, "choice": 1},
        {"cannot": None},
        {"cannot": [why]},
    ):
        with pytest.raises(Invalid) as raised:
            to_stored(kind, wrong, order)
        assert raised.value.field == "cannot"


ODD_RANKS: list[Any] = [1.5, "2", True, None, []]
WRONG_TURNS = ("4", "-1", "", "1.0", "x", "²", "٣", "9" * 5000)  # turns are numbered 0 to 3
WRONG_VERDICTS: list[Any] = [{}, True, {"label": True, "score": 1}, {"text": "x"}, None]
Wrong = tuple[TaskKind, dict[str, Any], str]


def wrong_values(kind: TaskKind, name: str, *values: object) -> list[Wrong]:
    return [(kind, {name: value}, name) for value in values]


WRONG: list[Wrong] = [
    *wrong_values("pairwise", "choice", 0, 9, -1, 1.0, "1", True, None, [1], {"a": 1}),
    ("pairwise", {}, "choice"),
    ("pairwise", {"choice": 1, "winner": "A"}, "winner"),
    ("pairwise", {"choice": 1, "preference": 3}, "preference"),
    *(
        ("pairwise", {"choice": 1, "aspects": {"helpful": side}}, "aspects")
        for side in ("C", "", "AB", "=B", 1, None, ["A"])
    ),
    ("pairwise", {"choice": 1, "aspects": {"funny": "A"}}, "aspects"),
    ("pairwise", {"choice": 1, "aspects": ["helpful"]}, "aspects"),
    ("pairwise", {"choice": 1, "edit": "text"}, "edit"),
    ("pairwise", {"choice": 1, "edit": {"letter": "C", "text": "x"}}, "letter"),
    ("pairwise", {"choice": 1, "edit": {"letter": "A", "text": " "}}, "text"),
    *wrong_values(
        "ranking", "ranks", None, [], {}, {"A": 1}, {"A": 1, "E": 2}, {"A": 0, "B": 1}, {"A": 1, "B": 5}
    ),
    *wrong_values("ranking", "ranks", *({"A": 1, "B": rank} for rank in ODD_RANKS)),
    *wrong_values("rating", "score", 0, 8, 3.5, "3", True, None, []),
    *wrong_values("thumbs", "label", 0, 1, "true", None, []),
    ("aspects", {"aspects": {"helpful": 3}}, "aspects"),
    ("aspects", {"aspects": {"helpful": 3, "honest": 8}}, "aspects"),
    ("aspects", {"aspects": {"helpful": 3, "honest": 3, "funny": 3}}, "aspects"),
    ("aspects", {}, "aspects"),
    *wrong_values("demonstration", "text", "", " \n", None, 3, ["x"]),
    ("edit", {"text": "x"}, "letter"),
    *(("edit", {"letter": letter, "text": "x"}, "letter") for letter in ("E", "a", "", 0, None, ["A"])),
    ("edit", {"letter": "A", "text": ""}, "text"),
    *wrong_values("conversation", "turns", None, {}, []),
    *wrong_values("conversation", "turns", *({turn: {"label": True}} for turn in WRONG_TURNS)),
    *wrong_values("conversation", "turns", *({"1": verdict} for verdict in WRONG_VERDICTS)),
    ("conversation", {"turns": {"1": {"label": True}, "01": {"label": False}}}, "turns"),
    ("conversation", {"turns": {"1": {"label": "yes"}}}, "label"),
    ("chat", {"score": 8}, "score"),
]


@pytest.mark.parametrize(("kind", "value", "field"), WRONG)
def test_errors_name_the_field(kind: TaskKind, value: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised:
        to_stored(kind, value, tuple(range(min(4, task_kinds.NUM_ANSWERS[kind][1]))), num_turns=4)
    assert raised.value.field == field


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_texts_that_cannot_be_stored_are_rejected(text: str) -> None:
    for kind, value in (("demonstration", {"text": text}), ("edit", {"letter": "A", "text": text})):
        with pytest.raises(Invalid) as raised:
            to_stored(kind, value, (0,))  # type: ignore[arg-type]
        assert raised.value.field == "text"


def test_texts_have_a_maximum_length() -> None:
    assert (
        to_stored("demonstration", {"text": "x" * task_kinds.LONGEST_TEXT})["text"]
        == "x" * task_kinds.LONGEST_TEXT
    )
    with pytest.raises(Invalid, match="at most 200,000"):
        to_stored("demonstration", {"text": "x" * (task_kinds.LONGEST_TEXT + 1)})


# ---------------------------------------------------------------- order of answers


def confirmed(value: dict[str, Any]) -> dict[str, Any]:
    """An edit of the worse answer, if it is one, is meant."""
    preferred = "A" if value["choice"] <= 3 else "B" if value["choice"] >= 6 else None
    if "edit" not in value or preferred in (None, value["edit"]["letter"]):
        return value
    return value | {"edit": value["edit"] | {"worse": True}}


orders = st.integers(2, 8).flatmap(lambda n: st.permutations(range(n)))
edits = st.none() | st.fixed_dictionaries({"letter": st.sampled_from("AB"), "text": st.just("better")})
pairwise_values = st.fixed_dictionaries(
    {"choice": st.integers(1, 8)},
    optional={
        "aspects": st.dictionaries(st.sampled_from(OPTIONS["aspects"]), st.sampled_from("A=B"), min_size=1),
        "edit": st.fixed_dictionaries({"letter": st.sampled_from("AB"), "text": st.just("better")}),
    },
).map(confirmed)


@given(pairwise_values, st.permutations([0, 1]))
def test_pairwise_values_round_trip(value: dict[str, Any], order: list[int]) -> None:
    assert task_kinds.to_shown("pairwise", to_stored("pairwise", value, tuple(order)), order) == value


@given(pairwise_values)
def test_mirrored_values_are_stored_the_same(value: dict[str, Any]) -> None:
    """Mirroring swaps A and B, and choice 1 and choice 8.  Ties stay the same."""
    other = {"A": "B", "B": "A", "=": "="}
    mirrored: dict[str, Any] = {"choice": {4: 4, 5: 5}.get(value["choice"], 9 - value["choice"])}
    if "aspects" in value:
        mirrored["aspects"] = {name: other[side] for name, side in value["aspects"].items()}
    if "edit" in value:
        mirrored["edit"] = value["edit"] | {"letter": other[value["edit"]["letter"]]}
    assert to_stored("pairwise", value, (0, 1)) == to_stored("pairwise", mirrored, (1, 0))


@given(orders, st.data())
def test_ranks_belong_to_candidates(order: list[int], data: st.DataObject) -> None:
    letters = [task_kinds.letter(i) for i in range(len(order))]
    ranks = data.draw(st.dictionaries(st.sampled_from(letters), st.integers(1, len(order)), min_size=2))
    by_candidate = to_stored("ranking", {"ranks": ranks}, tuple(order))["ranks"]
    assert len(by_candidate) == len(order)
    for letter, candidate in zip(letters, order, strict=True):
        assert by_candidate[candidate] == ranks.get(letter)
    assert task_kinds.to_shown("ranking", {"ranks": by_candidate}, order) == {"ranks": ranks}


@given(orders, st.data())
def test_edits_round_trip(order: list[int], data: st.DataObject) -> None:
    value = {
        "letter": data.draw(st.sampled_from([task_kinds.letter(i) for i in range(len(order))])),
        "text": "x",
    }
    assert task_kinds.to_shown("edit", to_stored("edit", value, tuple(order)), order) == value


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["A", "B", "1", "label", "text", "helpful"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ("choice", "aspects", "edit", "ranks", "score", "label", "text", "letter", "turns", "cannot")


@pytest.mark.parametrize("kind", task_kinds.TASK_KINDS)
@given(value=st.dictionaries(st.sampled_from(FIELDS), anything, max_size=3))
def test_any_value_is_stored_or_rejected(kind: TaskKind, value: dict[str, Any]) -> None:
    order = tuple(range(task_kinds.NUM_ANSWERS[kind][1]))
    try:
        stored = to_stored(kind, value, order, num_turns=3)
    except Invalid as refused:
        assert refused.problems
    else:
        assert to_stored(kind, task_kinds.to_shown(kind, stored, order), order, num_turns=3) == stored


# ---------------------------------------------------------------- options


def test_options_have_defaults() -> None:
    assert task_kinds.check_options("pairwise", {}) == {"aspects": [], "chips": [], "points": 7}
    assert task_kinds.check_options("aspects", {})["aspects"] == ["helpful", "harmless", "honest"]
    assert task_kinds.check_options("aspects", {"aspects": ["kind"], "points": 3}) == {
        "aspects": ["kind"],
        "chips": [],
        "points": 3,
    }


def test_defaults_are_not_shared() -> None:
    task_kinds.check_options("aspects", {})["aspects"].append("funny")
    task_kinds.check_options("pairwise", {})["chips"].append("wrong")
    assert task_kinds.check_options("pairwise", {}) == {"aspects": [], "chips": [], "points": 7}
    assert task_kinds.check_options("aspects", {})["aspects"] == ["helpful", "harmless", "honest"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        *(({"points": points}, "points") for points in (1, 11, 7.0, "7", True, None)),
        *(
            ({"aspects": names}, "aspects")
            for names in (
                "helpful",
                [""],
                [" "],
                [3],
                ["a", "a"],
                ["x" * 41],
                [f"a{i}" for i in range(9)],
                None,
            )
        ),
        ({"chips": [f"a{i}" for i in range(13)]}, "chips"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised:
        task_kinds.check_options("pairwise", options)
    assert list(raised.value.problems) == [field]


def test_all_problems_of_the_options_are_reported() -> None:
    with pytest.raises(Invalid) as raised:
        task_kinds.check_options("rating", {"points": 0, "chips": 3, "colour": 1})
    assert set(raised.value.problems) == {"points", "chips", "colour"}


def test_every_task_kind_is_complete() -> None:
    """Every kind has a number of answers, and a value that round-trips for every order of answers."""
    examples: dict[TaskKind, dict[str, Any]] = {
        "pairwise": {"choice": 1},
        "ranking": {"ranks": {"A": 1, "B": 2}},
        "rating": {"score": 1},
        "thumbs": {"label": True},
        "aspects": {"aspects": {"helpful": 1, "honest": 1}},
        "demonstration": {"text": "x"},
        "edit": {"letter": "A", "text": "x"},
        "conversation": {"turns": {"0": {"label": True}}},
        "chat": {},
    }
    assert set(examples) == set(task_kinds.TASK_KINDS) == set(task_kinds.NUM_ANSWERS)
    for kind, value in examples.items():
        fewest, most = task_kinds.NUM_ANSWERS[kind]
        for order in itertools.permutations(range(min(most, max(fewest, 2)))):
            assert task_kinds.to_shown(kind, to_stored(kind, value, order, num_turns=1), order) == value
