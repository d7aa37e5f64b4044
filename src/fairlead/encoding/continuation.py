"""What a model has to write after a prompt so that a template's rendering of the finished turn comes out.

Usually the rendering of the finished turn begins with the prompt, and the rest is the answer.  Where a
template writes the text before the answer differently once the answer is there, the answer is cut out of the
finished rendering and put after the prompt, because sampling will meet the prompt.  Where the two cannot be
told apart, the row is refused.

Reasoning models cause most of these cases.  Their generation prompt opens a <think> block that the finished
turn lacks, or that holds nothing there.
"""

import functools
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from fairlead.core.errors import DataError, FairleadError
from fairlead.data.records import Message
from fairlead.encoding.chat_format import ChatFormat, Rendered, Tools

_OPENED = re.compile(r"<think>\s*\Z")
_SHOWN = 60  # characters of a text that an error quotes
# Variables that switch reasoning on or off in published templates; tried to name a remedy that works.
_SWITCHES = ("enable_thinking", "thinking")


class Continuation(NamedTuple):
    prompt: str
    answer: str  # from the end of the prompt on; it goes on past the token that ends the turn
    generated: tuple[tuple[int, int], ...] | None  # characters of `answer` in {% generation %} blocks


def continue_prompt(chat: ChatFormat, messages: Sequence[Message], tools: Tools) -> Continuation:
    """Prompt and answer of the last message, an assistant turn.

    Raises DataError where the answer cannot be put after the prompt.
    """
    prompt, finished, result = _attempt(chat, messages, tools)
    if result is None:
        raise DataError(_difference(chat, prompt, finished, messages, tools))
    _check_thinking(prompt, result.answer)
    return result


def helpful_switch(chat: ChatFormat, messages: Sequence[Message], tools: Tools) -> str | None:
    """A value of `template.arguments` with which the last turn goes on from its prompt with all its text."""
    message = messages[-1]
    reasoning, answer = reasoning_of(message)
    for name in _SWITCHES:
        switched = _switched(chat, name, bool(reasoning.strip()))
        if switched is None:
            continue
        try:
            _, _, result = _attempt(switched, messages, tools)
        except FairleadError:
            continue
        if result is not None and reasoning.strip() in result.answer and answer.strip() in result.answer:
            return json.dumps({name: bool(reasoning.strip())})
    return None


@functools.lru_cache(maxsize=16)  # many rows may be refused for one reason
def _switched(chat: ChatFormat, name: str, value: bool) -> ChatFormat | None:
    try:
        return chat.with_arguments({name: value})
    except FairleadError:  # the template has no such switch
        return None


def _attempt(
    chat: ChatFormat, messages: Sequence[Message], tools: Tools
) -> tuple[str, str, Continuation | None]:
    """The prompt, the finished rendering, and how the one goes on to the other, if it does."""
    context, message = messages[:-1], messages[-1]
    prompt = chat.render(context, generation_prompt=True, tools=tools)
    finished = chat.render_with_spans(messages, tools=tools)
    result = _continuation(chat, prompt, finished, context, message, tools)
    if result is not None:
        answer = _in_opened_thinking(prompt, result.answer, message)
        if answer != result.answer:
            result = Continuation(prompt, answer, None)
    return prompt, finished.text, result


def _continuation(
    chat: ChatFormat,
    prompt: str,
    finished: Rendered,
    context: Sequence[Message],
    message: Message,
    tools: Tools,
) -> Continuation | None:
    if finished.text.startswith(prompt):
        return _from(prompt, finished, len(prompt))
    header = _header(chat, prompt, context, tools)
    begin, end = _around_header(finished.text, context, message)
    position = finished.text.rfind(header, begin, end) if header else -1
    if position >= 0:
        return _from(prompt, finished, position + len(header))
    answer = _after_opened_thinking(header, finished.text, message)
    return None if answer is None else Continuation(prompt, answer, None)


def _from(prompt: str, finished: Rendered, start: int) -> Continuation:
    """The answer begins at a character of the finished rendering."""
    spans = finished.generated
    if spans is not None:
        spans = tuple((max(0, left - start), right - start) for left, right in spans if right > start)
    return Continuation(prompt, finished.text[start:], spans)


def _around_header(finished: str, context: Sequence[Message], message: Message) -> tuple[int, int]:
    """The characters of a finished rendering between the last message of the context and the answer."""
    words = " ".join(reasoning_of(message)).split()
    end = max(0, finished.rfind(words[0])) if words else len(finished)
    last = context[-1].content.strip() if context else ""
    position = finished.rfind(last, 0, end)
    return (position + len(last), end) if position >= 0 else (end, end)


def _header(chat: ChatFormat, prompt: str, context: Sequence[Message], tools: Tools) -> str:
    """The generation prompt alone: what a prompt has after its last message."""
    bare = chat.render(context, generation_prompt=False, tools=tools)
    if prompt.startswith(bare) and len(prompt) > len(bare):
        return prompt[len(bare) :]
    return prompt[chat.last_control(prompt) :]


def _after_opened_thinking(header: str, finished: str, message: Message) -> str | None:
    """The answer after a header that opens a <think> block, if the message says what was thought.

    The finished rendering writes the header without the block, and then the answer without its reasoning.
    """
    opened = _OPENED.search(header)
    if opened is None:
        return None
    closed = header[: opened.start()]
    reasoning, answer = reasoning_of(message)
    position = finished.rfind(closed) if closed else -1
    if position < 0 or not reasoning.strip():
        return None
    shown = finished[position + len(closed) :].lstrip().removeprefix("</think>")
    if not shown.lstrip().startswith(answer.strip()):
        return None
    end = shown.find(answer.strip()) + len(answer.strip())
    return f"{reasoning.strip()}\n</think>\n\n{answer.strip()}{shown[end:]}"


def _in_opened_thinking(prompt: str, answer: str, message: Message) -> str:
    """The answer after a prompt that opens a <think> block: without a second tag, and with its reasoning.

    Some templates open the block before whatever an answer holds, its own tag included, or nothing at all.
    """
    if _OPENED.search(prompt) is None:
        return answer
    if answer.lstrip().startswith("<think>"):
        return answer.lstrip().removeprefix("<think>").lstrip("\n")
    reasoning, content = reasoning_of(message)
    if reasoning.strip() and "</think>" not in answer and answer.lstrip().startswith(content.strip()):
        return f"{reasoning.strip()}\n</think>\n\n{answer.lstrip()}"
    return answer


def reasoning_of(message: Message) -> tuple[str, str]:
    """What an answer has inside <think> and after it.  The opening tag may be missing, as in sampled text."""
    if message.reasoning is not None:
        return message.reasoning, message.content
    before, closing, after = message.content.partition("</think>")
    if not closing:
        return "", message.content
    return before.replace("<think>", "", 1), after


def _check_thinking(prompt: str, answer: str) -> None:
    if _OPENED.search(prompt) is None:
        return
    if "</think>" not in answer:
        raise DataError(
            "the generation prompt opens a <think> block that the answer never closes. Write the reasoning "
            "into "
            "the answer, ended by </think>, or set another template with template.file."
        )


def _difference(
    chat: ChatFormat, prompt: str, finished: str, messages: Sequence[Message], tools: Tools
) -> str:
    """Why an answer cannot follow its prompt, and what to do."""
    same = next(
        (i for i, (left, right) in enumerate(zip(prompt, finished, strict=False)) if left != right),
        min(len(prompt), len(finished)),
    )
    start = max(0, min(same, chat.last_control(prompt)))
    return (
        f"the generation prompt ends with {_quoted(prompt[start:])}, but {chat.origin} writes the finished "
        f"turn as {_quoted(finished[start:])}: the model would be trained after another text than it is "
        "sampled "
        f"after. {_remedy(chat, messages, tools)}"
    )


def _remedy(chat: ChatFormat, messages: Sequence[Message], tools: Tools) -> str:
    remedies = []
    if switch := helpful_switch(chat, messages, tools):
        remedies.append(f"set template.arguments='{switch}'")
    if "<think>" in chat.template and not reasoning_of(messages[-1])[0]:
        remedies.append("put the reasoning into the answer as <think>…</think>")
    remedies.append("give a template of your own with template.file=PATH")
    text = ", or ".join(remedies)
    return f"{text[0].upper()}{text[1:]}."


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
