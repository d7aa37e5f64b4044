"""Task kinds: what raters are asked, the options of a campaign, and the values of judgements.

A submitted value refers to answers by the letters that the rater saw.  A stored value refers to answers by
their index in the item, so it does not depend on the order shown.  `order[i]` is the index of the answer
shown as the i-th letter: with order (1, 0), letter A is answer 1.

kind           answers  submitted value                              stored value
pairwise       2        choice 1..8 (see below)                      preference 3..-3, tie good|bad|None
ranking        2..8     ranks {"A": 1, "C": 2}                       ranks by answer, None if unranked
rating         1        score 1..points                              the same
thumbs         1        label true|false                             the same
aspects        1        aspects {name: 1..points}                    the same
demonstration  0        text                                         the same
edit           1..8     letter, text                                 candidate, text
conversation   0        turns {"1": {"label": …} or {"score": …}}    the same
chat           0        score 1..points, or nothing                  the same

A pairwise choice runs from 1 (A much better) to 8 (B much better).  Choices 4 and 5 are ties: both answers
are good, or both are bad.  Equal ranks are ties.  A turn of a conversation is the index of a message in the
prompt.  The choices of a live chat are in `chats`.  A positive preference is one for answer 0.

A pairwise value may also contain aspects {name: "A"|"="|"B"}, stored as 1, 0 or -1 for answer 0, and an edit
{letter, text} of the better answer, or of either after a tie.  Training learns an edit as the better text, so
an edit of the worse answer is refused unless the rater confirms it with `worse: true`.

Instead of a value, `{"cannot": "judge"|"unsafe"}` states that nobody should have to judge the item.  Unlike a
skip, this statement is a judgement.
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

# Fewest and most answers of an item.
NUM_ANSWERS: Mapping[TaskKind, tuple[int, int]] = {
    "pairwise": (2, 2),
    "ranking": (2, 8),
    "rating": (1, 1),
    "thumbs": (1, 1),
    "aspects": (1, 1),
    "demonstration": (0, 0),
    "edit": (1, 8),
    "conversation": (0, 0),
    "chat": (0, 0),
}
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
LONGEST_TEXT = 200_000  # characters of a written answer
DEFAULT_OPTIONS: dict[str, Any] = {"aspects": [], "chips": [], "points": 7}
KINDS_WITH_OPTION: Mapping[str, Sequence[TaskKind]] = {  # option -> kinds that use it
    "aspects": ("pairwise", "aspects"),
    "chips": tuple(kind for kind in TASK_KINDS if kind != "chat"),
    "points": ("rating", "aspects", "conversation", "chat"),
}


def letter(position: int) -> str:
    return chr(ord("A") + position)


def check_options(kind: TaskKind, options: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options with the defaults.  Raises Invalid with every wrong option."""
    problems = {
        name: f"is not an option; the options are {', '.join(DEFAULT_OPTIONS)}"
        for name in options
        if name not in DEFAULT_OPTIONS
    }
    merged = {
        **copy.deepcopy(DEFAULT_OPTIONS),
        **{name: options[name] for name in options if name in DEFAULT_OPTIONS},
    }
    for name, max_names in (("aspects", 8), ("chips", 12)):
        labels = merged[name]
        if not isinstance(labels, list) or not all(
            isinstance(label, str) and 0 < len(label.strip()) <= 40 for label in labels
        ):
            problems[name] = "must be a list of names with at most 40 characters each"
        elif len(labels) > max_names or len(set(labels)) < len(labels):
            problems[name] = f"must be at most {max_names} different names"
        elif problem := storable_text.find_problem(labels):
            problems[name] = problem
    points = merged["points"]
    if not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= 10:
        problems["points"] = "must be a number of rating points from 2 to 10"
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
    """Validate a submitted value and convert it into a stored value.  Raises Invalid.

    `num_turns` is the number of messages of a conversation, or of judged turns of a live chat.
    """
    if "cannot" in value:
        if set(value) != {"cannot"} or value["cannot"] not in CANNOT_REASONS:
            raise Invalid({"cannot": f"must be the only field, with one of: {', '.join(CANNOT_REASONS)}"})
        return {"cannot": value["cannot"]}
    allowed = _FIELDS[kind]
    problems = {
        name: f"is not a field of a {kind} value; the fields are {', '.join(allowed)}"
        for name in value
        if name not in allowed
    }
    if problems:
        raise Invalid(problems)
    return _CONVERTERS[kind](options, value, order, num_turns)


def to_shown(kind: TaskKind, stored: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """Convert a stored value back into letters for this order, to undo a judgement."""
    place = {candidate: letter(i) for i, candidate in enumerate(order)}
    if kind == "pairwise" and "cannot" not in stored:
        sign = 1 if order[0] == 0 else -1
        choice = next(
            c
            for c, p in PREFERENCE_OF_CHOICE.items()
            if p == sign * stored["preference"] and TIE_OF_CHOICE.get(c) == stored["tie"]
        )
        shown: dict[str, Any] = {"choice": choice}
        if stored.get("aspects"):
            shown["aspects"] = {
                name: {1: "A", 0: "=", -1: "B"}[sign * side] for name, side in stored["aspects"].items()
            }
        if stored.get("edit"):
            edit = {"letter": place[stored["edit"]["candidate"]], "text": stored["edit"]["text"]}
            # An older judgement may contain an edit of the worse answer that nobody was asked about.
            shown["edit"] = edit | ({"worse": True} if stored["edit"].get("worse") else {})
        return shown
    if kind == "ranking" and "cannot" not in stored:
        return {"ranks": {place[c]: rank for c, rank in enumerate(stored["ranks"]) if rank is not None}}
    if kind == "edit" and "cannot" not in stored:
        return {"letter": place[stored["candidate"]], "text": stored["text"]}
    return dict(stored)


def reorder(stored: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """A stored value about the same answers in another order: answer i is then what was answer order[i]."""
    value = dict(stored)
    sign = 1 if list(order) == sorted(order) else -1  # of two answers
    if "preference" in value:
        value["preference"] = sign * value["preference"]
        if value.get("aspects"):
            value["aspects"] = {name: sign * side for name, side in value["aspects"].items()}
    if "ranks" in value:
        value["ranks"] = [value["ranks"][candidate] for candidate in order]
    if "candidate" in value:
        value["candidate"] = order.index(value["candidate"])
    if value.get("edit"):
        value["edit"] = {**value["edit"], "candidate": order.index(value["edit"]["candidate"])}
    return value


def margin(kind: TaskKind, stored: Mapping[str, Any]) -> int | None:
    """How much better the preferred answer is, from 0 (tie) to 3.  None for kinds without a margin."""
    return abs(stored["preference"]) if kind == "pairwise" and "preference" in stored else None


# ---------------------------------------------------------------- converters, by kind

Converter = Callable[[Mapping[str, Any], Mapping[str, Any], Sequence[int], int], dict[str, Any]]


def _pairwise(
    options: Mapping[str, Any], value: Mapping[str, Any], order: Sequence[int], _: int
) -> dict[str, Any]:
    choice = value.get("choice")
    if not _is_whole_number(choice, 1, 8):
        raise Invalid({"choice": "must be 1 (A much better) to 8 (B much better); 4 and 5 are ties"})
    assert isinstance(choice, int)
    sign = 1 if order[0] == 0 else -1
    stored: dict[str, Any] = {
        "preference": sign * PREFERENCE_OF_CHOICE[choice],
        "tie": TIE_OF_CHOICE.get(choice),
    }
    sides = _names(value.get("aspects", {}), options["aspects"])
    if sides:
        if not all(isinstance(side, str) and side in "A=B" and len(side) == 1 for side in sides.values()):
            raise Invalid({"aspects": "must be A, = or B for each aspect"})
        stored["aspects"] = {name: sign * {"A": 1, "=": 0, "B": -1}[side] for name, side in sides.items()}
    if value.get("edit") is not None:
        if not isinstance(value["edit"], Mapping):
            raise Invalid({"edit": "must be an object with a letter and a text"})
        stored["edit"] = _pairwise_edit(options, value["edit"], order, stored["preference"])
    return stored


def _pairwise_edit(
    options: Mapping[str, Any], edit: Mapping[str, Any], order: Sequence[int], preference: int
) -> dict[str, Any]:
    stored = _edit(options, edit, order, 0)
    if not isinstance(edit.get("worse", False), bool):
        raise Invalid({"edit": "worse must be true or false"})
    preferred = None if preference == 0 else int(preference < 0)
    if preferred in (None, stored["candidate"]):
        return stored
    if not edit.get("worse"):
        edited, better = (letter(order.index(answer)) for answer in (stored["candidate"], preferred))
        raise Invalid(
            {
                "edit": f"is of answer {edited}, but answer {better} is preferred; edit answer {better}, "
                "or add worse: true to the edit if this is meant"
            }
        )
    return stored | {"worse": True}


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
                "ranks": f"must map letters {letters[0]} to {letters[-1]} to ranks "
                f"from 1 (best) to {len(order)}"
            }
        )
    if len(ranks) < 2:
        raise Invalid({"ranks": "must rank at least two answers"})
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
        raise Invalid({"label": "must be true (good) or false (bad)"})
    return {"label": value["label"]}


def _aspects(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], __: int
) -> dict[str, Any]:
    scores = _names(value.get("aspects", {}), options["aspects"])
    missing = [name for name in options["aspects"] if name not in scores]
    if missing:
        raise Invalid({"aspects": f"must also score {', '.join(missing)}"})
    return {"aspects": {name: _score(options, score, "aspects") for name, score in scores.items()}}


def _demonstration(
    _: Mapping[str, Any], value: Mapping[str, Any], __: Sequence[int], ___: int
) -> dict[str, Any]:
    return {"text": _text(value.get("text"))}


def _edit(_: Mapping[str, Any], value: Mapping[str, Any], order: Sequence[int], __: int) -> dict[str, Any]:
    letters = [letter(i) for i in range(len(order))]
    letter_of_answer = value.get("letter", "A" if len(order) == 1 else None)
    if letter_of_answer not in letters:
        raise Invalid({"letter": f"must name the edited answer, one of: {', '.join(letters)}"})
    return {"candidate": order[letters.index(letter_of_answer)], "text": _text(value.get("text"))}


def _conversation(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], num_turns: int
) -> dict[str, Any]:
    turns = value.get("turns")
    if not isinstance(turns, Mapping) or not turns:
        raise Invalid({"turns": "must judge at least one turn"})
    names = [str(n) for n in range(num_turns)]
    stored: dict[str, Any] = {}
    for turn, verdict in turns.items():
        if turn not in names:
            raise Invalid({"turns": f"{turn!r} is not a turn of this conversation"})
        if not isinstance(verdict, Mapping) or len(verdict) != 1 or not set(verdict) <= {"label", "score"}:
            raise Invalid({"turns": f"turn {turn} must have either a label or a score"})
        stored[turn] = (
            _thumbs(options, verdict, (), 0) if "label" in verdict else _rating(options, verdict, (), 0)
        )
    return {"turns": stored}


def _chat(
    options: Mapping[str, Any], value: Mapping[str, Any], _: Sequence[int], num_turns: int
) -> dict[str, Any]:
    if not num_turns:
        raise Invalid(
            {"turns": "must include a choice; choose an answer, and wait until that answer is complete"}
        )
    return {"score": _score(options, value["score"], "score")} if value.get("score") is not None else {}


_CONVERTERS: Mapping[TaskKind, Converter] = {
    "pairwise": _pairwise,
    "ranking": _ranking,
    "rating": _rating,
    "thumbs": _thumbs,
    "aspects": _aspects,
    "demonstration": _demonstration,
    "edit": _edit,
    "conversation": _conversation,
    "chat": _chat,
}
_FIELDS: Mapping[TaskKind, tuple[str, ...]] = {
    "pairwise": ("choice", "aspects", "edit"),
    "ranking": ("ranks",),
    "rating": ("score",),
    "thumbs": ("label",),
    "aspects": ("aspects",),
    "demonstration": ("text",),
    "edit": ("letter", "text"),
    "conversation": ("turns",),
    "chat": ("score",),
}


def _is_whole_number(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _score(options: Mapping[str, Any], value: object, field: str) -> int:
    if not _is_whole_number(value, 1, options["points"]):
        raise Invalid({field: f"must be a whole number from 1 to {options['points']}"})
    assert isinstance(value, int)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Invalid({"text": "must not be empty"})
    if len(value) > LONGEST_TEXT:
        raise Invalid({"text": f"must have at most {LONGEST_TEXT:,} characters"})
    storable_text.require(text=value)
    return value


def _names(value: object, aspects: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not set(value) <= set(aspects):
        raise Invalid(
            {"aspects": f"must use the aspects of this task: {', '.join(aspects) or 'it has none'}"}
        )
    return dict(value)
