"""The records that recipes read: prompts, answers and the feedback of raters.

The fields of a record are the columns of its native JSON row.  `parsing` validates rows and builds records;
the classes themselves validate nothing.  An answer is a tuple of messages, because it may have several turns.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import takewhile
from typing import Any, Literal, TypeAlias, TypedDict, get_args

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
RecordKind: TypeAlias = Literal[
    "demonstration", "comparison", "ranking", "rating", "binary", "stepwise", "prompt"
]

ROLES: tuple[Role, ...] = get_args(Role)
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the assistant.

    Example: name = "add", arguments = {"a": 2, "b": 2}, id = "call_1".
    """

    name: str
    arguments: Mapping[str, Any] = field(hash=False)  # a JSON object; mappings have no hash
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str  # may be empty in an assistant's turn with tool calls, in a system message and a tool result
    reasoning: str | None = None  # an assistant's thinking before its answer
    tool_calls: tuple[ToolCall, ...] = ()  # of an assistant's turn
    tool_call_id: str | None = None  # of a tool's turn: the call that it answers
    name: str | None = None  # of a tool's turn: the tool; otherwise the speaker
    trained: bool = True  # false for an assistant's turn that is context only; other roles are never trained


Messages: TypeAlias = tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedColumns:
    """Columns of every record.  Recipes pass `tools` to the chat template; the others travel to exports."""

    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)  # JSON schemas of the tools
    id: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)  # never trained


class Carried(TypedDict):
    """The values of the carried columns, as keyword arguments of another record."""

    tools: tuple[Mapping[str, Any], ...]
    id: str | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Demonstration(CarriedColumns):
    """An answer to imitate.

    Example: prompt = (user "2 + 2?",), completion = (assistant "4",).  A row with `messages` has an empty
    prompt: all its messages are the completion, and every assistant turn is trained.
    """

    prompt: Messages  # context, not trained: an optional system message, then turns that end with the user
    completion: Messages  # the assistant turns are trained

    @property
    def messages(self) -> Messages:
        return self.prompt + self.completion

    @property
    def num_prompt_messages(self) -> int:
        """Number of leading messages that are not trained; 0 if every assistant turn is trained."""
        return len(self.prompt)


@dataclass(frozen=True, slots=True)
class Comparison(CarriedColumns):
    """Two answers to one prompt; a rater preferred `chosen`.

    Example: prompt = (user "2 + 2?",), chosen = (assistant "4",), rejected = (assistant "5",), margin = 3.0,
    rater = "ann".
    """

    prompt: Messages
    chosen: Messages
    rejected: Messages
    margin: float | None = None  # 0 (hardly better) to 3 (much better)
    tie: Literal["good", "bad"] | None = None  # no preference: both answers are good, or both are bad
    aspects: Mapping[str, float] | None = None  # aspect -> -1 (rejected is better) to 1 (chosen is better)
    rater: str | None = None
    weight: float = 1.0  # weight in the loss; not negative
    confidence: float | None = None  # 0..1, stated by the rater


@dataclass(frozen=True, slots=True)
class Ranking(CarriedColumns):
    """Several answers in order.

    Example: ranks = (1, 2, 2) is a best answer and two equal answers below it.
    """

    prompt: Messages
    completions: tuple[Messages, ...]
    ranks: tuple[int, ...]  # one per completion; lower is better, equal is a tie


@dataclass(frozen=True, slots=True)
class Rating(CarriedColumns):
    """One answer with a score, with a score per aspect, or with both."""

    prompt: Messages
    completion: Messages
    score: float | None = None  # 0..1
    aspects: Mapping[str, float] | None = None  # aspect -> 0..1


@dataclass(frozen=True, slots=True)
class Binary(CarriedColumns):
    """One answer with a thumbs up or down."""

    prompt: Messages
    completion: Messages
    label: bool  # true for a good answer


@dataclass(frozen=True, slots=True)
class Stepwise(CarriedColumns):
    """One answer in steps, each labelled right or wrong.  Steps are strings, because they are parts of one
    turn.

    Example: prompt = (user "2 + 3 + 4?",), completions = ("2 + 3 = 5.", "5 + 4 = 8."), labels = (True,
    False).
    """

    prompt: Messages
    completions: tuple[str, ...]  # the steps, in order
    labels: tuple[bool, ...]  # one per step; true for a right step


@dataclass(frozen=True, slots=True)
class Prompt(CarriedColumns):
    """A prompt to answer, with what a rule needs to score the answer."""

    prompt: Messages
    reference: str | None = None
    tags: tuple[str, ...] = ()


Record: TypeAlias = Demonstration | Comparison | Ranking | Rating | Binary | Stepwise | Prompt

RECORD_CLASSES: Mapping[RecordKind, type[Record]] = {
    "demonstration": Demonstration,
    "comparison": Comparison,
    "ranking": Ranking,
    "rating": Rating,
    "binary": Binary,
    "stepwise": Stepwise,
    "prompt": Prompt,
}

CARRIED_COLUMNS = frozenset(column.name for column in fields(CarriedColumns))

COLUMNS_BY_KIND: Mapping[RecordKind, frozenset[str]] = {
    kind: frozenset(column.name for column in fields(record_class))
    | ({"messages"} if kind == "demonstration" else set())
    for kind, record_class in RECORD_CLASSES.items()
}


def kind_of_row(row: Mapping[str, Any]) -> RecordKind | None:
    """The kind of a native row, from its columns; None if unknown.  A null column counts as absent."""
    present = {column for column, value in row.items() if value is not None}
    if "chosen" in present or "rejected" in present:
        return "comparison"
    if {"completions", "labels"} <= present and "ranks" not in present:
        return "stepwise"
    if "completions" in present or "ranks" in present:
        return "ranking"
    if "messages" in present:
        return "demonstration"
    if "completion" in present:
        if "label" in present:
            return "binary"
        return "rating" if present & {"score", "aspects"} else "demonstration"
    return "prompt" if "prompt" in present else None


def kind_of_record(record: Record) -> RecordKind:
    return next(kind for kind in RECORD_KINDS if isinstance(record, RECORD_CLASSES[kind]))


def to_row(record: Record) -> dict[str, Any]:
    """The native row as JSON values, without columns that have their default value."""
    if isinstance(record, Demonstration) and not record.prompt:
        return {"messages": _json(record.completion), **carried_row(record)}
    columns = (column for column in fields(record) if column.name not in CARRIED_COLUMNS)
    values = ((column, getattr(record, column.name)) for column in columns)
    row = {column.name: _json(value) for column, value in values if value != column.default}
    return row | carried_row(record)


def carried(record: CarriedColumns) -> Carried:
    """What another record that is made from this one keeps: `Prompt(prompt, **carried(record))`."""
    return {"tools": record.tools, "id": record.id, "metadata": record.metadata}


def carried_row(record: CarriedColumns) -> dict[str, Any]:
    """The carried columns of a native row, as JSON values."""
    values = ((column, getattr(record, column.name)) for column in fields(CarriedColumns))
    return {column.name: _json(value) for column, value in values if value != column.default}


def message_to_json(message: Message) -> dict[str, Any]:
    """The message in the layout of OpenAI's API, without keys that have their default value.

    The arguments of tool calls are objects, as chat templates expect.
    """
    row: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        row["reasoning_content"] = message.reasoning
    if message.tool_calls:
        row["tool_calls"] = [_call_to_json(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        row["name"] = message.name
    if not message.trained:
        row["train"] = False
    return row


def message_from_json(row: Mapping[str, Any]) -> Message:
    """The message that `message_to_json` wrote.  Rows from elsewhere need `parsing.read_messages`."""
    return Message(
        row["role"],
        row["content"],
        reasoning=row.get("reasoning_content"),
        tool_calls=tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"], call.get("id"))
            for call in row.get("tool_calls", ())
        ),
        tool_call_id=row.get("tool_call_id"),
        name=row.get("name"),
        trained=row.get("train", True),
    )


def prompt_messages(record: Record) -> Messages:
    """The prompt; for a record without one, the messages before the first assistant turn."""
    if record.prompt:
        return record.prompt
    return (
        tuple(takewhile(lambda message: message.role != "assistant", record.completion))
        if isinstance(record, Demonstration)
        else ()
    )


def prompt_text(record: Record) -> str:
    """Canonical text of the prompt.  Prompts that differ only in white space have the same text.

    Tool calls are part of the text; reasoning and the definitions of tools are not.
    """
    return "\n".join(
        " ".join(
            [
                f"{message.role}: {' '.join(message.content.split())}",
                *(json.dumps(_call_to_json(call)["function"], sort_keys=True) for call in message.tool_calls),
            ]
        )
        for message in prompt_messages(record)
    )


def _call_to_json(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": dict(call.arguments)}
    row = {"type": "function", "function": function}
    return row if call.id is None else {"id": call.id, **row}


def _json(value: Any) -> Any:
    if isinstance(value, Message):
        return message_to_json(value)
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
