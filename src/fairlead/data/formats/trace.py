"""Prompts, answers and people's feedback in the traces of products, whichever tool recorded them.

Of the many scores of a trace only thumbs of people are read: values of two kinds under names such as
`user_feedback`.  Scores of automatic judges and scores on other scales are never read as thumbs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.data.column_meaning import is_blank, meaning_of
from fairlead.data.formats import chat_turns, feedback
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import check_turns, required_column
from fairlead.data.records import Binary, Demonstration, Message, Messages, Prompt, Record, RecordKind
from fairlead.data.row_problem import RowLocation, reject_row

KINDS: tuple[RecordKind, ...] = ("binary", "comparison", "demonstration")  # what feedback can become

MESSAGE_KEYS = ("messages", "conversation", "chat")
QUESTION_KEYS = tuple(
    """question query prompt input user_input user_message user_query message text content request
    instruction human_input""".split()
)
HISTORY_KEYS = ("chat_history", "history", "message_history", "previous_messages")
SYSTEM_KEYS = ("system", "system_prompt", "system_message")
ANSWER_KEYS = tuple(
    """output answer response completion result message content text generation reply output_text
    final_answer final_output""".split()
)
MOST_NESTED = 8  # objects around an answer; deeper ones are not looked into


@dataclass(frozen=True)
class Signal:
    """One piece of feedback on an answer."""

    name: str
    value: Any
    is_edit: bool = False  # the value is the text that the answer should have been
    is_automatic: bool = False  # from a model or a program
    rater: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Exchange:
    """A prompt, the answer to it, and what people said about the answer."""

    prompt: Messages
    answer: Messages
    signals: Sequence[Signal] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def outcomes_of(exchange: Exchange, where: RowLocation) -> Outcomes:
    """Thumbs as binary records and edits as comparisons, with a reason for each other signal."""
    outcomes: Outcomes = []
    for signal in exchange.signals:
        record = _record(exchange, signal, where)
        if isinstance(record, LeftOut):
            outcomes.append(record)
        elif record is not None:
            rater = {} if hasattr(record, "rater") else {"rater": signal.rater}
            notes = {**exchange.notes, "signal": signal.name, "comment": signal.comment, **rater}
            outcomes.append(feedback.carrying(record, None, notes))
    return outcomes or [LeftOut("traces without people's feedback")]


def _record(exchange: Exchange, signal: Signal, where: RowLocation) -> Record | LeftOut | None:
    if signal.is_automatic or is_blank(signal.value):
        return None
    if signal.is_edit:
        edited = read_output(signal.value, exchange.prompt, signal.name, where)
        if feedback.same_text(edited, exchange.answer):
            return LeftOut("edits that change nothing")
        return feedback.compare(exchange.prompt, edited, exchange.answer, where, rater=signal.rater)
    if feedback.as_thumb(signal.value) is None or not feedback.is_name_of_thumb(signal.name):
        return LeftOut(f"scores that are not read as thumbs: {signal.name}")
    thumb = feedback.thumb_under(signal.name, signal.value)
    if thumb is None:
        return LeftOut(f"values under {signal.name} that do not say whether the answer is good")
    return Binary(exchange.prompt, exchange.answer, thumb)


def item_format(
    recognises: Callable[[Row], bool], inputs: str, outputs: str, other_columns: Collection[str] = ()
) -> Format:
    """Items of a data set: a column with the input and one with the output that is expected.

    They are demonstrations, or with --kind prompt prompts whose reference is the expected output.
    """

    def convert(row: Row, where: RowLocation) -> Conversion:
        if row.get("status") == "ARCHIVED":
            return LeftOut("archived items")
        prompt = read_input(required_column(row, inputs, where), inputs, where)
        if is_blank(row.get(outputs)):
            return LeftOut("items without an expected answer")
        answer = read_output(row[outputs], prompt, outputs, where)
        return feedback.carrying(Demonstration(prompt, answer), row.get("id"))

    def convert_to_prompt(row: Row, where: RowLocation) -> Conversion:
        prompt = read_input(required_column(row, inputs, where), inputs, where)
        reference = None
        if not is_blank(row.get(outputs)):
            reference = read_output(row[outputs], prompt, outputs, where)[-1].content
        return feedback.carrying(Prompt(prompt, reference), row.get("id"))

    columns = frozenset({inputs, outputs, *other_columns})
    return Format(
        recognises=recognises,
        convert=convert,
        reads={"demonstration": columns, "prompt": columns},
        readings={"prompt": convert_to_prompt},
    )


# ---------------------------------------------------------------- inputs and outputs


def read_input(value: object, place: str, where: RowLocation) -> Messages:
    """The conversation up to the answer, from the input of a trace."""
    messages = _input_messages(feedback.from_json(value), place, where)
    check_turns(messages, place, where, first="user", last="user")
    return messages


def _input_messages(value: Any, place: str, where: RowLocation) -> Messages:
    if isinstance(value, dict) and not chat_turns.is_turn(value):
        if value.keys() == {"args", "kwargs"}:  # the arguments of a traced function
            arguments = [*(value["args"] or []), *(value["kwargs"] or {}).values()]
            value = value["kwargs"] or (arguments[0] if len(arguments) == 1 else value)
            return _input_messages(feedback.from_json(value), f"{place}.args", where)
        return _keyed_messages(value, place, where)
    if isinstance(value, str) or (isinstance(value, list) and value) or isinstance(value, dict):
        return chat_turns.read_conversation([value] if isinstance(value, dict) else value, place, where)
    reject_row(where, place, value, "is not a question", _remedy(place))


def _keyed_messages(value: dict[str, Any], place: str, where: RowLocation) -> Messages:
    present = {name: content for name, content in value.items() if not is_blank(content)}
    key = next((name for name in (*MESSAGE_KEYS, *QUESTION_KEYS) if name in present), None)
    if key is None and len(present) == 1:
        key = next(iter(present))
    if key is None:
        reject_row(where, place, value, "has no part that is known to be the question", _remedy(place))
    messages = _input_messages(feedback.from_json(present.pop(key)), f"{place}.{key}", where)
    for name in [name for name in HISTORY_KEYS if name in present]:
        earlier = chat_turns.read_conversation(present.pop(name), f"{place}.{name}", where)
        messages = (*earlier, *messages)
    for name in [name for name in SYSTEM_KEYS if isinstance(present.get(name), str)]:
        messages = (Message("system", present.pop(name)), *messages)
    for name, content in present.items():
        if meaning_of(name, content) is not None:
            reject_row(where, f"{place}.{name}", content, "is not read, and would be lost", _remedy(place))
    return messages


def read_output(value: object, prompt: Messages, place: str, where: RowLocation) -> Messages:
    """The answer, from the output of a trace; an output may repeat the conversation before it."""
    content = _unwrapped(feedback.from_json(value), place, where)
    if isinstance(content, list):
        turns = chat_turns.read_conversation(content, place, where)
        if turns[: len(prompt)] == prompt:
            turns = turns[len(prompt) :]
        users = [index for index, turn in enumerate(turns) if turn.role in ("user", "system")]
        answer = turns[users[-1] + 1 :] if users else turns
        if not answer:
            reject_row(where, place, value, "has no answer after the last question", _remedy(place))
        check_turns(answer, place, where, first="assistant", last="assistant")
        return answer
    return chat_turns.read_answer(content, place, where)


def _unwrapped(value: Any, place: str, where: RowLocation, depth: int = 0) -> Any:
    """A text, a turn or a list of turns, from the objects around it."""
    if isinstance(value, str) or (isinstance(value, dict) and chat_turns.is_turn(value)):
        return value
    if isinstance(value, list) and value and all(chat_turns.is_turn(item) for item in value):
        return value
    inner: Any = None
    if isinstance(value, list) and len(value) == 1:
        inner = value[0]  # a batch of one
    elif isinstance(value, dict):
        present = {name: content for name, content in value.items() if not is_blank(content)}
        keys = (*MESSAGE_KEYS, "choices", "generations", *ANSWER_KEYS)
        inner = next((present[name] for name in keys if name in present), None)
        if inner is None and len(present) == 1:
            inner = next(iter(present.values()))
    if inner is None or depth == MOST_NESTED:
        reject_row(where, place, value, "has no part that is known to be the answer", _remedy(place))
    return _unwrapped(inner, place, where, depth + 1)


def _remedy(place: str) -> str:
    column = place.partition(".")[0].partition("[")[0]
    return f"Say where it is, such as --map prompt={column}.PATH,completion=PATH, or use --drop."
