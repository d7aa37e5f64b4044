"""Proof that a training row says what its record says.

Every non-blank line of a trained answer has to stand in the trained text, in order, and the words of every
other message have to stand in the prompt.  A template that drops reasoning, a system message, tools or their
results would otherwise train a model on something that nobody wrote, without an error.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from fairlead.core.errors import DataError
from fairlead.data.records import Comparison, Message
from fairlead.encoding.chat_format import ChatFormat, Tools, words_of
from fairlead.encoding.continuation import helpful_switch

_THINK_TAGS = re.compile(r"</?think>")
_SWITCH = re.compile(r"/(no_)?think\b")  # some templates obey these words of a message and remove them
_SHOWN = 60  # characters of a missing text that an error quotes


class HasTokens(Protocol):
    """An encoded answer."""

    @property
    def tokens(self) -> tuple[int, ...]: ...


def check_answer(chat: ChatFormat, messages: Sequence[Message], trained: str, tools: Tools) -> None:
    """Raise DataError unless every line of the last message stands in the trained text, in order."""
    message = messages[-1]
    texts = [message.reasoning or "", _THINK_TAGS.sub("\n", message.content)]
    missing = missing_lines("\n".join(texts), trained)
    missing += [call.name for call in message.tool_calls if call.name not in trained]
    missing += [
        word for call in message.tool_calls for word in words_of(call.arguments) if word not in trained
    ]
    if missing:
        raise DataError(
            f"{chat.origin} leaves {_quoted(missing[0])} of the answer out of what is trained. "
            f"{_remedy(chat, messages, tools)}"
        )


def check_context(chat: ChatFormat, messages: Sequence[Message], prompt: str, tools: Tools) -> None:
    """Raise DataError unless the words of every message stand in the prompt.

    The reasoning of earlier turns may be missing: that is how reasoning models are sampled.
    """
    check_tools(chat, prompt, tools)
    for message in messages:
        content = message.content
        if message.role == "assistant":
            content = content.rpartition("</think>")[2]
        lost_calls = [call.name for call in message.tool_calls if call.name not in prompt]
        if lost_calls:
            raise DataError(
                f"{chat.origin} leaves the call of the tool {lost_calls[0]!r} out of the prompt. {_OTHER}"
            )
        if content.strip() in prompt:
            continue
        lost = missing_words(_SWITCH.sub("", content), prompt)
        if lost:
            raise DataError(
                f"{chat.origin} leaves the {message.role} message {_quoted(content.strip())} out of the "
                "prompt. "
                f"{_context_remedy(chat, message.role)}"
            )


def check_tools(chat: ChatFormat, prompt: str, tools: Tools) -> None:
    """Raise DataError unless the name of every tool stands in the prompt."""
    for tool in tools:
        function = tool.get("function", tool)
        name = function.get("name") if isinstance(function, Mapping) else None
        if isinstance(name, str) and name not in prompt:
            raise DataError(
                f"{chat.origin} leaves the definition of the tool {name!r} out of the prompt, so the model "
                f"would call tools that nobody described. {_OTHER}"
            )


def check_sides(
    chat: ChatFormat, pair: Comparison, chosen: Sequence[HasTokens], rejected: Sequence[HasTokens]
) -> None:
    """Raise DataError if both sides of a pair are the same tokens: there is nothing to learn from them."""
    if [row.tokens for row in chosen] != [row.tokens for row in rejected]:
        return
    if pair.chosen == pair.rejected:
        raise DataError("the chosen and the rejected answer are the same. Remove the pair.")
    raise DataError(
        f"the chosen and the rejected answer differ, but {chat.origin} writes both as the same tokens, so "
        "nothing would be learned. Give a template that keeps what differs with template.file=PATH."
    )


def missing_lines(text: str, rendered: str) -> list[str]:
    """The non-blank lines of a text that a rendering does not have after the lines before them."""
    missing = []
    position = 0
    for line in text.splitlines():
        line = line.strip()
        start = rendered.find(line, position) if line else position
        if start < 0:
            missing.append(line)
        elif line:
            position = start + len(line)
    return missing


def missing_words(text: str, rendered: str) -> list[str]:
    """The words of a text that do not occur in a rendering."""
    return [word for word in re.findall(r"\w+", text) if word not in rendered]


_OTHER = "Set a template that writes it with template.file=PATH, or remove it from the row."


def _remedy(chat: ChatFormat, messages: Sequence[Message], tools: Tools) -> str:
    message = messages[-1]
    own_template = "give a template that writes it with template.file=PATH."
    if message.reasoning or "</think>" in message.content:
        if switch := helpful_switch(chat, messages, tools):
            return f"Set template.arguments='{switch}', or {own_template}"
        if message.reasoning and "</think>" not in chat.template:
            return (
                "It knows no reasoning_content. Write the reasoning into the content as <think>…</think>, or "
                f"{own_template}"
            )
        return (
            "A model trained on this row would learn to answer without reasoning. Remove the reasoning from "
            f"the row, or {own_template}"
        )
    return _OTHER if message.tool_calls else f"{own_template[0].upper()}{own_template[1:]}"


def _context_remedy(chat: ChatFormat, role: str) -> str:
    if role == "system":
        return "template.fold_system=true puts it before the first user turn."
    return _OTHER


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
