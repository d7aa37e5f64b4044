"""The records that recipes read: what was asked, what was answered, and what people said about it.

Each kind has the columns of its native JSON row.  `parsing` makes records from rows and checks them; the classes themselves
check nothing, so code that builds a record by hand answers for it.  Answers are messages, not strings, because an answer may be
several turns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import takewhile
from typing import Any, Literal, TypeAlias, get_args

Role: TypeAlias = Literal["system", "user", "assistant"]
RecordKind: TypeAlias = Literal[
    "demonstration", "comparison", "ranking", "rating", "binary", "stepwise", "prompt"
]

ROLES: tuple[Role, ...] = get_args(Role)
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


Messages: TypeAlias = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An answer worth imitating.

    A whole conversation (the row has `messages`) has an empty prompt: all its messages are the completion, and every assistant
    turn in it is trained.  Example: prompt = (user "2 + 2?",), completion = (assistant "4",).
    """

    prompt: Messages  # context that is not trained: a system message or none, then user and assistant in turn, user last
    completion: Messages  # its assistant turns are trained

    @property
    def messages(self) -> Messages:
        return self.prompt + self.completion

    @property
    def num_prompt_messages(self) -> int:
        """How many leading messages are context only; 0 means that every assistant turn is trained."""
        return len(self.prompt)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one prompt, of which somebody preferred the first.

    Example: prompt = (user "2 + 2?",), chosen = (assistant "4",), rejected = (assistant "5",), margin = 3.0, rater = "ann".
    """

    prompt: Messages
    chosen: Messages
    rejected: Messages
    margin: float | None = None  # 0 hardly better .. 3 much better
    tie: Literal["good", "bad"] | None = None  # neither is better: both good, or both bad
    aspects: Mapping[str, float] | None = None  # aspect -> -1 (rejected is better) .. 1 (chosen is better)
    rater: str | None = None
    weight: float = 1.0  # how much the comparison counts; not negative
    confidence: float | None = None  # 0..1, the rater's own


@dataclass(frozen=True, slots=True)
class Ranking:
    """Several answers in order.  Example: ranks = (1, 2, 2) is one best answer and two equal ones below it."""

    prompt: Messages
    completions: tuple[Messages, ...]
    ranks: tuple[int, ...]  # one for each completion; lower is better, equal is a tie


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer with a score, or a score for each aspect, or both."""

    prompt: Messages
    completion: Messages
    score: float | None = None  # 0..1
    aspects: Mapping[str, float] | None = None  # aspect -> 0..1


@dataclass(frozen=True, slots=True)
class Binary:
    """One answer with a thumb up or down."""

    prompt: Messages
    completion: Messages
    label: bool  # True: a good answer


@dataclass(frozen=True, slots=True)
class Stepwise:
    """One answer in steps, of which somebody said which are right.  The steps are text, because they are parts of one turn.

    Example: prompt = (user "2 + 3 + 4?",), completions = ("2 + 3 = 5.", "5 + 4 = 8."), labels = (True, False).
    """

    prompt: Messages
    completions: tuple[str, ...]  # the steps, in their order
    labels: tuple[bool, ...]  # one for each step; True: right


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something to answer, with what a rule needs to judge the answer."""

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

COLUMNS_BY_KIND: Mapping[RecordKind, frozenset[str]] = {
    kind: frozenset(field.name for field in fields(record_class))
    | ({"messages"} if kind == "demonstration" else set())
    for kind, record_class in RECORD_CLASSES.items()
}


def kind_of_row(row: Mapping[str, Any]) -> RecordKind | None:
    """The kind that the columns of a native row speak for; a column that holds null counts as absent."""
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
    """The native row, ready for JSON; a column at its default is left out."""
    if isinstance(record, Demonstration) and not record.prompt:
        return {"messages": _json(record.completion)}
    values = ((field, getattr(record, field.name)) for field in fields(record))
    return {field.name: _json(value) for field, value in values if value != field.default}


def prompt_messages(record: Record) -> Messages:
    """The prompt; of a whole conversation, what comes before its first answer."""
    if record.prompt:
        return record.prompt
    return (
        tuple(takewhile(lambda message: message.role != "assistant", record.completion))
        if isinstance(record, Demonstration)
        else ()
    )


def prompt_text(record: Record) -> str:
    """The opening as canonical text: records that differ only in the prompt's white space share it."""
    return "\n".join(
        f"{message.role}: {' '.join(message.content.split())}" for message in prompt_messages(record)
    )


def _json(value: Any) -> Any:
    if isinstance(value, Message):
        return {"role": value.role, "content": value.content}
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
