"""Parse JSON objects into records, with every check that needs no model.

Each function raises BadRow for the first problem of its row; readers collect these problems and continue with
the next row.  Columns that a kind does not have are ignored here; `check` lists them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, cast

from fairlead.core.plural import counted
from fairlead.data.message_parsing import decode_json, is_absent_system, parse_message
from fairlead.data.records import (
    Binary,
    Carried,
    Comparison,
    Demonstration,
    Message,
    Messages,
    Prompt,
    Ranking,
    Rating,
    Record,
    RecordKind,
    Role,
    Stepwise,
    ToolCall,
)
from fairlead.data.row_problem import RowLocation, reject_row

Row = Mapping[str, Any]

NEXT_ROLES: Mapping[Role, tuple[Role, ...]] = {
    "user": ("assistant",),
    "assistant": ("user",),  # after tool calls: the tool
    "tool": ("assistant", "tool"),
}


def parse_row(kind: RecordKind, value: Row, where: RowLocation) -> Record:
    return PARSERS[kind](value, where)


def parse_demonstration(row: Row, where: RowLocation) -> Demonstration:
    if row.get("messages") is not None:
        if row.get("prompt") is not None or row.get("completion") is not None:
            reject_row(
                where,
                "messages",
                None,
                "is present together with prompt or completion",
                "Keep either messages or prompt and completion.",
            )
        turns = read_messages(row["messages"], "messages", where)
        check_turns(turns, "messages", where, first="user", last="assistant")
        _require_trained(turns, "messages", where)
        return Demonstration(prompt=(), completion=turns, **read_carried(row, where))
    completion = read_messages(required_column(row, "completion", where), "completion", where)
    check_turns(completion, "completion", where, first="assistant", last="assistant")
    _require_trained(completion, "completion", where)
    return Demonstration(prompt=read_prompt(row, where), completion=completion, **read_carried(row, where))


def parse_comparison(row: Row, where: RowLocation) -> Comparison:
    return build_comparison(
        read_prompt(row, where),
        read_completion(row, "chosen", where),
        read_completion(row, "rejected", where),
        row,
        where,
    )


def build_comparison(
    prompt: Messages, chosen: Messages, rejected: Messages, row: Row, where: RowLocation
) -> Comparison:
    """Build a comparison from parsed answers and the optional columns of `row`."""
    tie = row.get("tie")
    if tie not in (None, "good", "bad"):
        reject_row(
            where, "tie", tie, 'must be "good" or "bad"', "Say whether both answers are good or both are bad."
        )
    if tie is None and _stripped(chosen) == _stripped(rejected):
        remedy = "Mark it a tie, or drop it with --drop."
        reject_row(where, "chosen", chosen[-1].content, "chosen and rejected are equal", remedy)
    weight = optional_number(row, "weight", where, low=0.0, high=math.inf)
    return Comparison(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=optional_number(row, "margin", where, low=0.0, high=3.0),
        tie=cast(Literal["good", "bad"] | None, tie),
        aspects=optional_aspects(row, where, low=-1.0, high=1.0),
        rater=optional_text(row, "rater", where),
        weight=1.0 if weight is None else weight,
        confidence=optional_number(row, "confidence", where, low=0.0, high=1.0),
        **read_carried(row, where),
    )


def parse_ranking(row: Row, where: RowLocation) -> Ranking:
    answers = required_column(row, "completions", where)
    ranks = required_column(row, "ranks", where)
    if not isinstance(answers, list) or len(answers) < 2:
        reject_row(
            where,
            "completions",
            answers,
            "is not a list of two or more answers",
            "Each answer is a list of messages.",
        )
    if not isinstance(ranks, list) or not all(type(rank) is int for rank in ranks):
        reject_row(
            where,
            "ranks",
            ranks,
            "is not a list of whole numbers",
            "Give each answer a rank; lower is better, equal ranks are ties.",
        )
    if len(ranks) != len(answers):
        reject_row(
            where,
            "ranks",
            ranks,
            f"has {counted(len(ranks), 'rank')} for {counted(len(answers), 'completion')}",
            "Give each answer one rank.",
        )
    parsed = []
    for index, answer in enumerate(answers):
        parsed.append(read_answer(answer, f"completions[{index}]", where))
    return Ranking(
        prompt=read_prompt(row, where),
        completions=tuple(parsed),
        ranks=tuple(ranks),
        **read_carried(row, where),
    )


def parse_rating(row: Row, where: RowLocation) -> Rating:
    score = optional_number(row, "score", where, low=0.0, high=1.0)
    by_aspect = optional_aspects(row, where, low=0.0, high=1.0)
    if score is None and by_aspect is None:
        reject_row(
            where,
            "score",
            None,
            "is missing, and aspects is missing too",
            "Give a score from 0 to 1, or a score for each aspect.",
        )
    return Rating(
        prompt=read_prompt(row, where),
        completion=read_completion(row, "completion", where),
        score=score,
        aspects=by_aspect,
        **read_carried(row, where),
    )


def parse_binary(row: Row, where: RowLocation) -> Binary:
    label = required_column(row, "label", where)
    if not isinstance(label, bool):
        reject_row(
            where,
            "label",
            label,
            "is not true or false",
            "Write true for a good answer and false for a bad one.",
        )
    return Binary(
        prompt=read_prompt(row, where),
        completion=read_completion(row, "completion", where),
        label=label,
        **read_carried(row, where),
    )


def parse_stepwise(row: Row, where: RowLocation) -> Stepwise:
    steps = required_column(row, "completions", where)
    labels = required_column(row, "labels", where)
    if not isinstance(steps, list) or not steps:
        reject_row(
            where,
            "completions",
            steps,
            "is not a list of steps",
            "Each step is a string; together the steps are one answer.",
        )
    for index, step in enumerate(steps):
        if not isinstance(step, str):
            reject_row(
                where,
                f"completions[{index}]",
                step,
                "is not a string",
                "Each step is a string, not a list of messages.",
            )
        if not step.strip():
            reject_row(
                where,
                f"completions[{index}]",
                step,
                "the step is empty",
                "Remove the step and its label, or drop the row with --drop.",
            )
    if not isinstance(labels, list) or not all(isinstance(label, bool) for label in labels):
        reject_row(
            where,
            "labels",
            labels,
            "is not a list of true and false",
            "Write true for each right step and false for each wrong one.",
        )
    if len(labels) != len(steps):
        remedy = "Give each step one label, and remove steps without a label."
        reject_row(
            where,
            "labels",
            labels,
            f"has {counted(len(labels), 'label')} for {counted(len(steps), 'step')}",
            remedy,
        )
    return Stepwise(
        prompt=read_prompt(row, where),
        completions=tuple(steps),
        labels=tuple(labels),
        **read_carried(row, where),
    )


def parse_prompt(row: Row, where: RowLocation) -> Prompt:
    tags = row.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        reject_row(where, "tags", tags, "is not a list of strings", 'Write a list such as ["maths", "easy"].')
    return Prompt(
        prompt=read_prompt(row, where),
        reference=optional_text(row, "reference", where),
        tags=tuple(tags or ()),
        **read_carried(row, where),
    )


PARSERS: Mapping[RecordKind, Callable[[Row, RowLocation], Record]] = {
    "demonstration": parse_demonstration,
    "comparison": parse_comparison,
    "ranking": parse_ranking,
    "rating": parse_rating,
    "binary": parse_binary,
    "stepwise": parse_stepwise,
    "prompt": parse_prompt,
}


def read_prompt(row: Row, where: RowLocation) -> Messages:
    turns = read_messages(required_column(row, "prompt", where), "prompt", where)
    check_turns(turns, "prompt", where, first="user", last="user")
    return turns


def read_completion(row: Row, column: str, where: RowLocation) -> Messages:
    """An answer that is judged: its last turn must be trained."""
    return read_answer(required_column(row, column, where), column, where)


def read_answer(value: object, field: str, where: RowLocation) -> Messages:
    turns = read_messages(value, field, where)
    check_turns(turns, field, where, first="assistant", last="assistant")
    if not turns[-1].trained:
        reject_row(
            where,
            f"{field}[{len(turns) - 1}].train",
            False,
            "the last turn of an answer that is judged cannot be left untrained",
            "Remove train and weight from it.",
        )
    return turns


def read_carried(row: Row, where: RowLocation) -> Carried:
    """The columns that every kind has: tools, id and metadata."""
    identity = row.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int | None):
        reject_row(where, "id", identity, "is neither text nor a whole number", "Write text in quotes.")
    metadata = decode_json(row.get("metadata"))
    if metadata is not None and not isinstance(metadata, dict):
        metadata = {"metadata": metadata}  # kept, because exports carry it
    return {
        "tools": read_tools(row.get("tools"), where),
        "id": None if identity in (None, "") else str(identity),
        "metadata": metadata or None,
    }


def read_tools(value: object, where: RowLocation) -> tuple[Mapping[str, Any], ...]:
    """The definitions of tools: a list of JSON schemas, or the same list as text."""
    tools = decode_json(value)
    if tools in (None, ""):
        return ()
    remedy = 'Write [{"type": "function", "function": {"name": "add", "parameters": {…}}}].'
    if not isinstance(tools, list):
        reject_row(where, "tools", tools, "is not a list of tools", remedy)
    for index, tool in enumerate(tools):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            reject_row(where, f"tools[{index}]", tool, "is not a tool with a name", remedy)
    return tuple(tools)


def read_messages(value: object, field: str, where: RowLocation) -> Messages:
    """Parse the messages of a column.  `check_turns` checks their order.

    A first system message whose content is null is none: tables write null where a row has no system message.
    """
    if isinstance(value, str):
        reject_row(
            where,
            field,
            value,
            "is a string, not a list of messages",
            "Convert the file with `fairlead data import`.",
        )
    if not isinstance(value, list) or not value:
        reject_row(
            where, field, value, "is not a list of messages", 'Write [{"role": "user", "content": "…"}, …].'
        )
    return tuple(
        parse_message(item, f"{field}[{index}]", where)
        for index, item in enumerate(value)
        if index or not is_absent_system(item)
    )


def check_turns(turns: Messages, field: str, where: RowLocation, *, first: Role, last: Role) -> None:
    """Check that user and assistant alternate from `first` to `last` and that no turn is empty.

    A system message may come first if `first` is the user.  Tool results follow an assistant's turn with tool
    calls, before the assistant continues; turns that must end with the user may also end with a tool result.
    """
    if not turns:
        reject_row(where, field, None, "has no turns", "Add them, or drop the row with --drop.")
    expected: tuple[Role, ...] = (first,)
    called: Message | None = None  # the turn whose calls the next tool results answer
    for index, turn in enumerate(turns):
        if turn.role == "system" and index == 0 and first == "user":
            continue
        if turn.role not in expected:
            remedy = "A system message may come first; then user and assistant take turns."
            if "tool" in (turn.role, *expected):
                remedy = "A tool's turn follows an assistant's turn with tool_calls, and answers them."
            why = f"wrong role order: expected {' or '.join(expected)}"
            reject_row(where, f"{field}[{index}].role", turn.role, why, remedy)
        if not turn.content.strip() and turn.role != "tool" and not turn.tool_calls:
            _reject_empty(turn, f"{field}[{index}].content", where)
        if turn.role == "tool":
            _require_call(turn, called, f"{field}[{index}].tool_call_id", where)
        elif turn.role == "assistant":
            called = turn
        expected = ("tool",) if turn.tool_calls else NEXT_ROLES[turn.role]
    if turns[-1].role != last and (last, turns[-1].role) != ("user", "tool"):
        reject_row(
            where,
            f"{field}[{len(turns) - 1}].role",
            turns[-1].role,
            f"must end with {last}",
            "Add the turn, or drop the row with --drop.",
        )


def _reject_empty(turn: Message, field: str, where: RowLocation) -> NoReturn:
    remedy = "Fill it in, or drop the row with --drop."
    if turn.role != "assistant":
        why = f"the {turn.role}'s turn is empty"
    elif turn.reasoning is not None:
        why = "the answer is empty; reasoning alone is not an answer"
    else:
        why = "the answer is empty"
    reject_row(where, field, turn.content, why, remedy)


def _require_call(turn: Message, called: Message | None, field: str, where: RowLocation) -> None:
    """A tool result that names a call names one of the turn before it."""
    ids = [call.id for call in called.tool_calls] if called is not None else []
    if turn.tool_call_id is None or None in ids or turn.tool_call_id in ids:
        return
    listed = ", ".join(str(identity) for identity in ids)
    why = f"names no call of the assistant's turn before it, which made {listed}"
    reject_row(where, field, turn.tool_call_id, why, "Correct the id, or drop the row with --drop.")


def _require_trained(turns: Messages, field: str, where: RowLocation) -> None:
    if not any(turn.role == "assistant" and turn.trained for turn in turns):
        reject_row(
            where,
            field,
            None,
            "no turn of the assistant is trained: each has train false or weight 0",
            "Train at least one turn, or drop the row with --drop.",
        )


def required_column(row: Row, column: str, where: RowLocation) -> Any:
    value = row.get(column)
    if value is None:
        present = ", ".join(sorted(name for name in row if row[name] is not None)) or "no columns"
        reject_row(where, column, None, "is missing", f"The row has {present}.")
    return value


def required_text(row: Row, column: str, where: RowLocation) -> str:
    """The string in a column that must not be empty."""
    value = required_column(row, column, where)
    if not isinstance(value, str):
        reject_row(where, column, value, "is not a string", "Write text in quotes.")
    if not value.strip():
        reject_row(where, column, value, "is empty", "Fill it in, or drop the row with --drop.")
    return value


def optional_text(row: Row, column: str, where: RowLocation) -> str | None:
    return None if row.get(column) is None else required_text(row, column, where)


def optional_number(row: Row, column: str, where: RowLocation, *, low: float, high: float) -> float | None:
    value = row.get(column)
    return None if value is None else _number(value, column, where, low=low, high=high)


def optional_aspects(row: Row, where: RowLocation, *, low: float, high: float) -> dict[str, float] | None:
    """Map each aspect to its number.  An aspect that holds null was not judged and is left out."""
    value = row.get("aspects")
    if value is None:
        return None
    if not isinstance(value, dict):
        reject_row(where, "aspects", value, "is not an object", 'Write an object such as {"helpful": 1}.')
    scores = {
        name: _number(score, f"aspects.{name}", where, low=low, high=high)
        for name, score in value.items()
        if score is not None
    }
    return scores or None


def _number(value: object, field: str, where: RowLocation, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        reject_row(where, field, value, "is not a number", f"Write a number {_range(low, high)}.")
    if not low <= value <= high or not math.isfinite(value):
        reject_row(where, field, value, "is out of range", f"Write a number {_range(low, high)}.")
    return float(value)


def _range(low: float, high: float) -> str:
    return f"from {low:g} to {high:g}" if math.isfinite(high) else f"not below {low:g}"


def _stripped(turns: Messages) -> list[tuple[str, str, tuple[ToolCall, ...]]]:
    """What two answers differ in, without white space at the ends: most chat templates trim it."""
    return [(turn.content.strip(), (turn.reasoning or "").strip(), turn.tool_calls) for turn in turns]
