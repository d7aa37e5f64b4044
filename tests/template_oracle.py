"""An oracle for training rows that knows nothing of Fairlead's encoding: transformers renders.

A row is right if every assistant turn that is to be trained appears in it as a model would sample it.  It
stands after exactly the tokens that `apply_chat_template(add_generation_prompt=True)` makes of the messages
before it, has all its text, and ends with the first token at which sampling stops.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

from transformers import PreTrainedTokenizerFast

from fairlead.data.records import Message
from fairlead.encoding.chat import Encoded


def assert_right(
    rows: Sequence[Encoded],
    messages: Sequence[Message],
    tokens: PreTrainedTokenizerFast,
    *,
    stops: frozenset[int],
    num_context: int = 0,
    tools: Sequence[Mapping[str, Any]] = (),
    arguments: Mapping[str, Any] | None = None,
    day: str = "2025-01-01",
    fold_system: bool = False,
) -> None:
    """Raise AssertionError unless the rows train the assistant turns from `num_context` on, and no other."""
    if fold_system and messages[0].role == "system":
        messages, num_context = folded(messages), max(0, num_context - 1)
    spans = [(row, start, stop) for row in rows for start, stop in trained_spans(row)]
    turns = trained_turns(messages, num_context)
    assert len(spans) == len(turns), f"{len(spans)} spans are trained for {len(turns)} turns"
    for (row, start, stop), i in zip(spans, turns, strict=True):
        prompt = sampling_prompt(tokens, messages[:i], tools, arguments or {}, day)
        assert list(row.tokens[:start]) == prompt, (
            f"turn {i} is trained after {tokens.decode(list(row.tokens[:start]))!r} and sampled after "
            f"{tokens.decode(prompt)!r}"
        )
        answer = row.tokens[start:stop]
        assert answer[-1] in stops, (
            f"turn {i} ends with {tokens.decode(list(answer[-3:]))!r}, where nothing stops"
        )
        assert not stops & set(answer[:-1]), f"sampling would stop inside turn {i}"
        _assert_says(str(tokens.decode(list(answer[:-1]))), i, messages)
    for row in rows:
        assert row.trained[-1], "tokens after the last answer are never sampled"


def folded(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The system message put before the first user turn."""
    if messages[0].role != "system" or len(messages) < 2 or messages[1].role != "user":
        return tuple(messages)
    first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
    return (first, *messages[2:])


def trained_spans(row: Encoded) -> Iterator[tuple[int, int]]:
    """Ranges of trained tokens, each cut where another follows without a gap."""
    position = 0
    for trained, group in groupby(row.trained):
        size = len(list(group))
        if trained:
            yield position, position + size
        position += size


def trained_turns(messages: Sequence[Message], num_context: int) -> list[int]:
    """Assistant turns that answer something and are not context."""
    questions = [i for i, message in enumerate(messages) if message.role == "user"]
    first = questions[0] if questions else len(messages)
    return [
        i
        for i, message in enumerate(messages)
        if message.role == "assistant" and i >= num_context and i > first and message.trained
    ]


def sampling_prompt(
    tokens: PreTrainedTokenizerFast,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    arguments: Mapping[str, Any],
    day: str,
) -> list[int]:
    """What transformers gives a model to go on with."""

    assert isinstance(tokens.chat_template, str)
    template = re.sub(
        r"strftime_now\((['\"])(.*?)\1\)",
        lambda match: repr(date.fromisoformat(day).strftime(match[2])),
        tokens.chat_template,
    )

    def rendered(as_text: bool) -> str:
        text = tokens.apply_chat_template(
            [as_row(message, arguments_as_text=as_text) for message in messages],
            tools=[dict(tool) for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=True,
            chat_template=template,
            **arguments,
        )
        assert isinstance(text, str)
        return text

    ids: list[int] = tokens(_first_that_renders(rendered), add_special_tokens=False)["input_ids"]
    return ids


def _first_that_renders(rendered: Callable[[bool], str]) -> str:
    """Some templates read the arguments of a call as an object, others as text."""
    try:
        return rendered(False)
    except TypeError:
        return rendered(True)


def as_row(message: Message, *, arguments_as_text: bool = False) -> dict[str, Any]:
    """A message in OpenAI's layout, with the reasoning under the names that templates read."""
    row: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        row |= {"reasoning_content": message.reasoning, "thinking": message.reasoning}
    if message.tool_calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False)
                    if arguments_as_text
                    else dict(call.arguments),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        row["name"] = message.name
    return row


def _assert_says(text: str, i: int, messages: Sequence[Message]) -> None:
    """The trained text holds all of a turn and nothing of the other turns."""
    for piece in _pieces(messages[i]):
        escaped = (json.dumps(piece)[1:-1], json.dumps(piece, ensure_ascii=False)[1:-1])  # in a call
        present = any(_plain(form) in _plain(text) for form in (piece, *escaped))
        assert present, f"turn {i} lacks {piece!r} in {text!r}"
    own = _words(" ".join(_pieces(messages[i])))
    others = {word for j, message in enumerate(messages) if j != i for word in _words(message.content)}
    # Short words also occur in the templates' own texts.
    strangers = {word for word in (others - own) & _words(text) if len(word) > 5}
    assert not strangers - {"assistant", "analysis"}, f"turn {i} trains words of other turns: {strangers}"


def _pieces(message: Message) -> list[str]:
    """What has to be sampled for a turn, whatever a template writes around it."""
    pieces = [(message.reasoning or "").strip(), message.content.strip()]
    for call in message.tool_calls:
        pieces += [call.name, *(str(value) for value in call.arguments.values())]
    return [piece for piece in pieces if piece]


def _plain(text: str) -> str:
    """Text without tags of reasoning and without spaces: a tokenizer may add or drop one beside a token."""
    return "".join(re.sub(r"</?think>", " ", text).split())


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
