"""From a JSON object to a record, checking everything that can be checked without a model.

Every function raises BadRow for the first thing wrong with its row; whoever reads the file goes on to the next row.  Columns
that the kind does not have are left alone here; `check` lists them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from fairlead.data.problem import Where, fail
from fairlead.data.records import (
    ROLES,
    Binary,
    Comparison,
    Demonstration,
    Kind,
    Message,
    Messages,
    Prompt,
    Ranking,
    Rating,
    Record,
    Role,
    Stepwise,
)

Row = Mapping[str, Any]

# Keys of a message that change what should be trained or shown: leaving them out silently would train something else.
REFUSED_KEYS = ("tool_calls", "function_call", "tool_call_id")


def parse_row(kind: Kind, value: Row, where: Where) -> Record:
    return PARSERS[kind](value, where)


def parse_demonstration(row: Row, where: Where) -> Demonstration:
    if row.get("messages") is not None:
        if row.get("prompt") is not None or row.get("completion") is not None:
            fail(
                where,
                "messages",
                None,
                "stands beside prompt or completion",
                "Keep either messages or prompt and completion.",
            )
        turns = messages(row["messages"], "messages", where)
        check_turns(turns, "messages", where, first="user", last="assistant")
        return Demonstration(prompt=(), completion=turns)
    return Demonstration(prompt=prompt(row, where), completion=completion(row, "completion", where))


def parse_comparison(row: Row, where: Where) -> Comparison:
    return comparison(
        prompt(row, where), completion(row, "chosen", where), completion(row, "rejected", where), row, where
    )


def comparison(asked: Messages, chosen: Messages, rejected: Messages, row: Row, where: Where) -> Comparison:
    """A comparison of answers that are already parsed, with the optional columns of `row`."""
    tie = row.get("tie")
    if tie not in (None, "good", "bad"):
        fail(
            where, "tie", tie, 'must be "good" or "bad"', "Say whether both answers are good or both are bad."
        )
    if tie is None and _stripped(chosen) == _stripped(rejected):
        remedy = "Mark it a tie, or drop it with --drop."
        fail(where, "chosen", chosen[-1].content, "chosen and rejected are equal", remedy)
    weight = number(row, "weight", where, low=0.0, high=math.inf)
    return Comparison(
        prompt=asked,
        chosen=chosen,
        rejected=rejected,
        margin=number(row, "margin", where, low=0.0, high=3.0),
        tie=cast(Literal["good", "bad"] | None, tie),
        aspects=aspects(row, where, low=-1.0, high=1.0),
        rater=optional_text(row, "rater", where),
        weight=1.0 if weight is None else weight,
        confidence=number(row, "confidence", where, low=0.0, high=1.0),
    )


def parse_ranking(row: Row, where: Where) -> Ranking:
    answers, ranks = required(row, "completions", where), required(row, "ranks", where)
    if not isinstance(answers, list) or len(answers) < 2:
        fail(
            where,
            "completions",
            answers,
            "is not a list of two or more answers",
            "Each answer is a list of messages.",
        )
    if not isinstance(ranks, list) or not all(type(rank) is int for rank in ranks):
        fail(
            where,
            "ranks",
            ranks,
            "is not a list of whole numbers",
            "Give each answer a rank; lower is better, ties are equal.",
        )
    if len(ranks) != len(answers):
        fail(
            where,
            "ranks",
            ranks,
            f"has {len(ranks)} ranks for {len(answers)} completions",
            "Give each answer one rank.",
        )
    parsed = []
    for index, answer in enumerate(answers):
        turns = messages(answer, f"completions[{index}]", where)
        check_turns(turns, f"completions[{index}]", where, first="assistant", last="assistant")
        parsed.append(turns)
    return Ranking(prompt=prompt(row, where), completions=tuple(parsed), ranks=tuple(ranks))


def parse_rating(row: Row, where: Where) -> Rating:
    score, by_aspect = number(row, "score", where, low=0.0, high=1.0), aspects(row, where, low=0.0, high=1.0)
    if score is None and by_aspect is None:
        fail(
            where,
            "score",
            None,
            "is missing, and so is aspects",
            "Give a score from 0 to 1, or one for each aspect.",
        )
    return Rating(
        prompt=prompt(row, where),
        completion=completion(row, "completion", where),
        score=score,
        aspects=by_aspect,
    )


def parse_binary(row: Row, where: Where) -> Binary:
    label = required(row, "label", where)
    if not isinstance(label, bool):
        fail(
            where,
            "label",
            label,
            "is not true or false",
            "Write true for a good answer and false for a bad one.",
        )
    return Binary(prompt=prompt(row, where), completion=completion(row, "completion", where), label=label)


def parse_stepwise(row: Row, where: Where) -> Stepwise:
    steps, labels = required(row, "completions", where), required(row, "labels", where)
    if not isinstance(steps, list) or not steps:
        fail(
            where,
            "completions",
            steps,
            "is not a list of steps",
            "Each step is a text; together they are one answer.",
        )
    for index, step in enumerate(steps):
        if not isinstance(step, str):
            fail(
                where,
                f"completions[{index}]",
                step,
                "is not a string",
                "Each step is a text, not a list of messages.",
            )
        if not step.strip():
            fail(
                where,
                f"completions[{index}]",
                step,
                "the step is empty",
                "Take it out with its label, or drop the row with --drop.",
            )
    if not isinstance(labels, list) or not all(isinstance(label, bool) for label in labels):
        fail(
            where,
            "labels",
            labels,
            "is not a list of true and false",
            "Give each step true where it is right, false where it is wrong.",
        )
    if len(labels) != len(steps):
        remedy = "Give each step one label; cut off the steps that nobody judged."
        fail(where, "labels", labels, f"has {len(labels)} labels for {len(steps)} steps", remedy)
    return Stepwise(prompt=prompt(row, where), completions=tuple(steps), labels=tuple(labels))


def parse_prompt(row: Row, where: Where) -> Prompt:
    tags = row.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        fail(where, "tags", tags, "is not a list of strings", 'Write for example ["maths", "easy"].')
    return Prompt(
        prompt=prompt(row, where), reference=optional_text(row, "reference", where), tags=tuple(tags or ())
    )


PARSERS: Mapping[Kind, Callable[[Row, Where], Record]] = {
    "demonstration": parse_demonstration,
    "comparison": parse_comparison,
    "ranking": parse_ranking,
    "rating": parse_rating,
    "binary": parse_binary,
    "stepwise": parse_stepwise,
    "prompt": parse_prompt,
}


def prompt(row: Row, where: Where) -> Messages:
    turns = messages(required(row, "prompt", where), "prompt", where)
    check_turns(turns, "prompt", where, first="user", last="user")
    return turns


def completion(row: Row, column: str, where: Where) -> Messages:
    turns = messages(required(row, column, where), column, where)
    check_turns(turns, column, where, first="assistant", last="assistant")
    return turns


def messages(value: object, field: str, where: Where) -> Messages:
    """The messages of one column; their order is `check_turns`'s business."""
    if isinstance(value, str):
        fail(
            where,
            field,
            value,
            "is a string, not a list of messages",
            "Convert the file with `fairlead data import`.",
        )
    if not isinstance(value, list) or not value:
        fail(where, field, value, "is not a list of messages", 'Write [{"role": "user", "content": "…"}, …].')
    return tuple(_message(item, f"{field}[{index}]", where) for index, item in enumerate(value))


def check_turns(turns: Messages, field: str, where: Where, *, first: Role, last: Role) -> None:
    """User and assistant in turn, from `first` to `last`, with something in each; a system message only at the start."""
    expected = first
    for index, turn in enumerate(turns):
        if turn.role == "system" and index == 0 and first == "user":
            continue
        if turn.role != expected:
            remedy = "A system message may come first; then user and assistant take turns."
            fail(
                where,
                f"{field}[{index}].role",
                turn.role,
                f"wrong role order: {expected} is expected here",
                remedy,
            )
        if not turn.content.strip():
            what = "the answer" if turn.role == "assistant" else "the user's turn"
            fail(
                where,
                f"{field}[{index}].content",
                turn.content,
                f"{what} is empty",
                "Fill it in, or drop the row with --drop.",
            )
        expected = "user" if expected == "assistant" else "assistant"
    if turns[-1].role != last:
        fail(
            where,
            f"{field}[{len(turns) - 1}].role",
            turns[-1].role,
            f"must end with {last}",
            "Add the turn, or drop the row with --drop.",
        )


def required(row: Row, column: str, where: Where) -> Any:
    value = row.get(column)
    if value is None:
        has = ", ".join(sorted(name for name in row if row[name] is not None)) or "nothing"
        fail(where, column, None, "is missing", f"The row has {has}.")
    return value


def text(row: Row, column: str, where: Where) -> str:
    """A column that must hold a string with something in it."""
    value = required(row, column, where)
    if not isinstance(value, str):
        fail(where, column, value, "is not a string", "Write text in quotes.")
    if not value.strip():
        fail(where, column, value, "is empty", "Fill it in, or drop the row with --drop.")
    return value


def optional_text(row: Row, column: str, where: Where) -> str | None:
    return None if row.get(column) is None else text(row, column, where)


def number(row: Row, column: str, where: Where, *, low: float, high: float) -> float | None:
    value = row.get(column)
    return None if value is None else _number(value, column, where, low=low, high=high)


def aspects(row: Row, where: Where, *, low: float, high: float) -> dict[str, float] | None:
    """Aspect -> number; an aspect that holds null was not judged and is left out."""
    value = row.get("aspects")
    if value is None:
        return None
    if not isinstance(value, dict):
        fail(where, "aspects", value, "is not an object", 'Write for example {"helpful": 1}.')
    found = {
        name: _number(each, f"aspects.{name}", where, low=low, high=high)
        for name, each in value.items()
        if each is not None
    }
    return found or None


def _number(value: object, field: str, where: Where, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(where, field, value, "is not a number", f"Write a number {_range(low, high)}.")
    if not low <= value <= high or not math.isfinite(value):
        fail(where, field, value, "is out of range", f"Write a number {_range(low, high)}.")
    return float(value)


def _range(low: float, high: float) -> str:
    return f"from {low:g} to {high:g}" if math.isfinite(high) else f"not below {low:g}"


def _message(value: object, field: str, where: Where) -> Message:
    if not isinstance(value, dict):
        fail(where, field, value, "is not a message", 'Write {"role": "user", "content": "…"}.')
    for key in REFUSED_KEYS:
        if value.get(key):
            fail(where, f"{field}.{key}", value[key], "tools cannot be trained", "Drop the row with --drop.")
    if value.get("weight") not in (None, 1):
        remedy = "Put what is not to be trained into prompt and the rest into completion."
        fail(
            where, f"{field}.weight", value["weight"], "weights of single messages are not supported", remedy
        )
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        fail(where, f"{field}.role", role, "is not a role", f"Roles are {', '.join(ROLES)}.")
    if not isinstance(content, str):
        fail(where, f"{field}.content", content, "is not a string", "Write text in quotes.")
    return Message(cast(Role, role), content)


def _stripped(turns: Messages) -> list[str]:
    """Most chat templates trim what they render, so answers that differ only at the ends would be trained as equal."""
    return [turn.content.strip() for turn in turns]
