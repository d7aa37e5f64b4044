"""What can be asked of people: the kinds of task, what a campaign may set for each, and what a value of each must be.

People speak of what they see: letters, in the order shown to them.  What is kept speaks of candidates, by their place in the item, so
that it means the same whoever saw it.  `order[i]` is the candidate that was shown as the i-th letter; with order (1, 0) the answer A is
candidate 1.

kind            answers   value as shown                                               as kept
pairwise        2         choice 1..8 (A much better … tie good, tie bad … B much)     preference 3..-3 for candidate 0, tie good|bad|None
ranking         2..8      ranks {"A": 1, "C": 2}; equal is a tie, absent is unranked    ranks by candidate, None where unranked
rating          1         score 1..points                                              the same
thumbs          1         label true|false                                             the same
aspects         1         aspects {name: 1..points}                                    the same
demonstration   0         text                                                         the same
edit            1..8      letter, text                                                 candidate, text
conversation    0         turns {"1": {"label": …} or {"score": …}}                    the same; a turn is a message's place in the prompt
chat            0         score 1..points, or nothing; the choices are in `chats`      the same

Pairwise values may also have aspects {name: "A"|"="|"B"} (kept as 1, 0, -1 for candidate 0) and an edit of the better answer.  Instead of
any of these, `{"cannot": "judge"|"unsafe"}` says that nobody should have to judge this; that is an answer, unlike a skip.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from fairlead.labels import storable_text
from fairlead.labels.errors import Invalid

TaskKind = Literal[
    "pairwise", "ranking", "rating", "thumbs", "aspects", "demonstration", "edit", "conversation", "chat"
]
TASK_KINDS: tuple[TaskKind, ...] = get_args(TaskKind)

NUM_ANSWERS: Mapping[TaskKind, tuple[int, int]] = {  # fewest and most candidates of an item
    "pairwise": (2, 2), "ranking": (2, 8), "rating": (1, 1), "thumbs": (1, 1), "aspects": (1, 1),
    "demonstration": (0, 0), "edit": (1, 8), "conversation": (0, 0), "chat": (0, 0),
}  # fmt: skip
CANNOT_REASONS = ("judge", "unsafe")
PREFERENCE_OF_CHOICE = {
    1: 3,
    2: 2,
    3: 1,
    4: 0,
    5: 0,
    6: -1,
    7: -2,
    8: -3,
}  # of a choice, for the answer shown first
TIE_OF_CHOICE = {4: "good", 5: "bad"}
LONGEST_TEXT = 200_000  # characters that a person may write
DEFAULT_OPTIONS: dict[str, Any] = {"aspects": [], "chips": [], "points": 7}
KINDS_WITH_OPTION: Mapping[str, Sequence[TaskKind]] = {  # an option -> the kinds in which it means something
    "aspects": ("pairwise", "aspects"),
    "chips": tuple(kind for kind in TASK_KINDS if kind != "chat"),
    "points": ("rating", "aspects", "conversation", "chat"),
}


def letter(position: int) -> str:
    return chr(ord("A") + position)


def check_options(kind: TaskKind, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a lead sets for a kind, with the defaults; raises Invalid with every problem."""
    problems = {name: "no kind of task has this" for name in options if name not in DEFAULT_OPTIONS}
    merged = {
        **copy.deepcopy(DEFAULT_OPTIONS),
        **{name: options[name] for name in options if name in DEFAULT_OPTIONS},
    }
    for name, most in (("aspects", 8), ("chips", 12)):
        words = merged[name]
        if not isinstance(words, list) or not all(
            isinstance(word, str) and 0 < len(word.strip()) <= 40 for word in words
        ):
            problems[name] = "is a list of short names, up to 40 characters each"
        elif len(words) > most or len(set(words)) < len(words):
            problems[name] = f"is at most {most} different names"
        elif why := storable_text.find_problem(words):
            problems[name] = why
    points = merged["points"]
    if not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= 10:
        problems["points"] = "is the number of steps of a rating, 2 to 10"
    if kind == "aspects" and merged["aspects"] == []:
        merged["aspects"] = ["helpful", "harmless", "honest"]
    if problems:
        raise Invalid(problems)
    return merged


def to_stored(
    kind: TaskKind,
    options: Mapping[str, Any],
    value: Mapping[str, Any],
    order: Sequence[int],
    *,
    num_turns: int = 0,
) -> dict[str, Any]:
    """A value as shown, checked and turned into what is kept.  `num_turns`: of a conversation, or those of a live chat in which the person
    chose.  Raises Invalid."""
    if "cannot" in value:
        if set(value) != {"cannot"} or value["cannot"] not in CANNOT_REASONS:
            raise Invalid({"cannot": f"stands alone and is one of {', '.join(CANNOT_REASONS)}"})
        return {"cannot": value["cannot"]}
    allowed = _FIELDS[kind]
    problems = {name: f"is not part of a {kind} value" for name in value if name not in allowed}
    if problems:
        raise Invalid(problems)
    return _CONVERTERS[kind](options, value, order, num_turns)


def to_shown(kind: TaskKind, kept: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """What is kept, in the letters of this order: for undo."""
    place = {candidate: letter(i) for i, candidate in enumerate(order)}
    if kind == "pairwise" and "cannot" not in kept:
        sign = 1 if order[0] == 0 else -1
        choice = next(
            c
            for c, p in PREFERENCE_OF_CHOICE.items()
            if p == sign * kept["preference"] and TIE_OF_CHOICE.get(c) == kept["tie"]
        )
        shown: dict[str, Any] = {"choice": choice}
        if kept.get("aspects"):
            shown["aspects"] = {
                name: {1: "A", 0: "=", -1: "B"}[sign * side] for name, side in kept["aspects"].items()
            }
        if kept.get("edit"):
            shown["edit"] = {"letter": place[kept["edit"]["candidate"]], "text": kept["edit"]["text"]}
        return shown
    if kind == "ranking" and "cannot" not in kept:
        return {"ranks": {place[c]: rank for c, rank in enumerate(kept["ranks"]) if rank is not None}}
    if kind == "edit" and "cannot" not in kept:
        return {"letter": place[kept["candidate"]], "text": kept["text"]}
    return dict(kept)


def margin(kind: TaskKind, kept: Mapping[str, Any]) -> int | None:
    """How far ahead the better answer is, 0 (a tie) to 3; None where a kind has no such thing."""
    return abs(kept["preference"]) if kind == "pairwise" and "preference" in kept else None


# ---------------------------------------------------------------- each kind

Converter = Callable[[Mapping[str, Any], Mapping[str, Any], Sequence[int], int], dict[str, Any]]


def _pairwise(
    options: Mapping[str, Any], value: Mapping[str, Any], order: Sequence[int], _: int
) -> dict[str, Any]:
    choice = value.get("choice")
    if not _is_whole_number(choice, 1, 8):
        raise Invalid({"choice": "is a step from 1 (A much better) to 8 (B much better); 4 and 5 are ties"})
    assert isinstance(choice, int)
    sign = 1 if order[0] == 0 else -1
    kept: dict[str, Any] = {
        "preference": sign * PREFERENCE_OF_CHOICE[choice],
        "tie": TIE_OF_CHOICE.get(choice),
    }
    sides = _names(value.get("aspects", {}), options["aspects"])
    if sides:
        if not all(isinstance(side, str) and side in "A=B" and len(side) == 1 for side in sides.values()):
            raise Invalid({"aspects": "is A, = or B for each aspect"})
        kept["aspects"] = {name: sign * {"A": 1, "=": 0, "B": -1}[side] for name, side in sides.items()}
    if value.get("edit") is not None:
        if not isinstance(value["edit"], Mapping):
            raise Invalid({"edit": "is a letter and a text"})
        kept["edit"] = _edit(options, value["edit"], order, 0)
    return kept


def _ranking(_: Mapping[str, Any], value: Mapping[str, Any], order: Sequence[int], __: int) -> dict[str, Any]:
    ranks = value.get("ranks")
    letters = [letter(i) for i in range(len(order))]
    if (
        not isinstance(ranks, Mapping)
        or not set(ranks) <= set(letters)
        or not all(_is_whole_number(rank, 1, len(order)) for rank in ranks.values())
    ):
        raise Invalid(
            {
                "ranks": f"gives letters of {letters[0]} to {letters[-1]} a place from 1, the best, to {len(order)}"
            }
        )
    if len(ranks) < 2:
        raise Invalid({"ranks": "needs at least two answers in order"})
    by_candidate: list[int | None] = [None] * len(order)
    for position, candidate in enumerate(order):
        by_candidate[candidate] = ranks.get(letters[position])
    return {"ranks": by_candidate}


def _rating(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], __: int
) -> dict[str, Any]:
    return {"score": _score(options, value.get("score"), "score")}


def _thumbs(_: Mapping[str, Any], value: Mapping[str, Any], __: Sequence[int], ___: int) -> dict[str, Any]:
    if not isinstance(value.get("label"), bool):
        raise Invalid({"label": "is true (good) or false (bad)"})
    return {"label": value["label"]}


def _aspects(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], __: int
) -> dict[str, Any]:
    scores = _names(value.get("aspects", {}), options["aspects"])
    missing = [name for name in options["aspects"] if name not in scores]
    if missing:
        raise Invalid({"aspects": f"has no score for {', '.join(missing)}"})
    return {"aspects": {name: _score(options, score, "aspects") for name, score in scores.items()}}


def _demonstration(
    _: Mapping[str, Any], value: Mapping[str, Any], __: Sequence[int], ___: int
) -> dict[str, Any]:
    return {"text": _text(value.get("text"))}


def _edit(_: Mapping[str, Any], value: Mapping[str, Any], order: Sequence[int], __: int) -> dict[str, Any]:
    letters = [letter(i) for i in range(len(order))]
    chosen = value.get("letter", "A" if len(order) == 1 else None)
    if chosen not in letters:
        raise Invalid({"letter": f"names the answer that was edited, one of {', '.join(letters)}"})
    return {"candidate": order[letters.index(chosen)], "text": _text(value.get("text"))}


def _conversation(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], num_turns: int
) -> dict[str, Any]:
    turns = value.get("turns")
    if not isinstance(turns, Mapping) or not turns:
        raise Invalid({"turns": "judges at least one turn"})
    names = [str(n) for n in range(num_turns)]
    kept: dict[str, Any] = {}
    for turn, verdict in turns.items():
        if turn not in names:
            raise Invalid({"turns": f"{turn!r} is no turn of this conversation"})
        if not isinstance(verdict, Mapping) or len(verdict) != 1 or not set(verdict) <= {"label", "score"}:
            raise Invalid({"turns": f"turn {turn} needs a label or a score"})
        kept[turn] = (
            _thumbs(options, verdict, (), 0) if "label" in verdict else _rating(options, verdict, (), 0)
        )
    return {"turns": kept}


def _chat(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], num_turns: int
) -> dict[str, Any]:
    if not num_turns:
        raise Invalid({"turns": "have no choice yet, or the chosen answer is still being written"})
    return {"score": _score(options, value["score"], "score")} if value.get("score") is not None else {}


_CONVERTERS: Mapping[TaskKind, Converter] = {
    "pairwise": _pairwise, "ranking": _ranking, "rating": _rating, "thumbs": _thumbs, "aspects": _aspects,
    "demonstration": _demonstration, "edit": _edit, "conversation": _conversation, "chat": _chat,
}  # fmt: skip
_FIELDS: Mapping[TaskKind, tuple[str, ...]] = {
    "pairwise": ("choice", "aspects", "edit"), "ranking": ("ranks",), "rating": ("score",), "thumbs": ("label",), "aspects": ("aspects",),
    "demonstration": ("text",), "edit": ("letter", "text"), "conversation": ("turns",), "chat": ("score",),
}  # fmt: skip


def _is_whole_number(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _score(options: Mapping[str, Any], value: object, field: str) -> int:
    if not _is_whole_number(value, 1, options["points"]):
        raise Invalid({field: f"is a whole number from 1 to {options['points']}"})
    assert isinstance(value, int)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Invalid({"text": "is empty"})
    if len(value) > LONGEST_TEXT:
        raise Invalid({"text": f"is longer than {LONGEST_TEXT:,} characters"})
    storable_text.require(text=value)
    return value


def _names(value: object, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not set(value) <= set(known):
        raise Invalid(
            {"aspects": f"has names that are not this campaign's: {', '.join(known) or 'it has none'}"}
        )
    return dict(value)
