"""Training rows and prompts: token ids of conversations, and a mask of the tokens that carry loss.

An assistant turn is trained as it would be sampled.  The messages before it are rendered with the generation
prompt, as for sampling, and the rendering of the finished turn has to go on from there.  No more is asked of
a template: it may write earlier turns differently once more turns follow, as reasoning models do.  Turns
whose rendering goes on from the row of an earlier turn share that row; other turns get a row of their own.

`row_proof.py` checks each row.  This module does not pad or batch; see `batching.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from fairlead.core.errors import DataError, FairleadError, ModelError
from fairlead.core.plural import counted
from fairlead.data.records import Message
from fairlead.encoding import row_proof
from fairlead.encoding.chat_format import ChatFormat, Tools
from fairlead.encoding.continuation import Continuation, continue_prompt
from fairlead.encoding.tokenized_text import Offsets, TokenizedText


@dataclass(frozen=True)
class Encoded:
    """The tokens of one conversation, and which of them carry loss.

    <|user|> 2 + 2 ? <|end|> <|assistant|> 4 . <|end|>      tokens
       .     . . . .    .         .        x x    x         trained
    """

    tokens: tuple[int, ...]
    trained: tuple[bool, ...]  # same length as tokens; True where the token carries loss

    def __len__(self) -> int:
        return len(self.tokens)


class TooLong(DataError):
    """A conversation is longer than the limit.  The caller decides whether to drop it."""


class _Turn(NamedTuple):
    """An assistant turn as it is sampled: the tokens of its prompt, then its answer up to the stop token."""

    prompt_text: str
    prompt: list[int]
    answer_text: str
    answer: list[int]
    trained: list[bool]  # of the answer's tokens
    trained_text: str
    offsets: Offsets  # characters of `answer_text` that each token of the answer covers


class _Longest(NamedTuple):
    """The last assistant turn of a conversation, tokenised."""

    num_messages: int
    texts: Continuation
    whole: TokenizedText


def num_trained_tokens(rows: Iterable[Encoded]) -> int:
    """Number of tokens that carry loss.  The first token of a row never does: nothing precedes it."""
    return sum(sum(row.trained[1:]) for row in rows)


def encode_rows(
    chat: ChatFormat,
    messages: Sequence[Message],
    *,
    num_context: int = 0,
    tools: Tools = (),
    max_tokens: int | None = None,
) -> list[Encoded]:
    """Encode a conversation as one row, or as several where the template asks for it.

    The assistant turns from message `num_context` on are trained, each with the token that ends it.  An
    assistant turn before the first user turn, such as a greeting, answers nothing and is context.

    Raises TooLong for a row of more than `max_tokens` tokens: truncation would remove the end that the model
    has to learn.  Raises DataError or ModelError if a row would train something else than what is sampled.
    """
    turns = trained_turns(messages, num_context)
    if not turns:
        raise DataError("no token would be trained: the conversation has no assistant turn after the prompt.")
    chat.check_texts(messages, tools)
    rows: list[tuple[list[int], list[bool]]] = []
    prompt_text = ""
    longest = _tokenized_end(chat, messages[: turns[-1] + 1], tools)
    for i in turns:
        turn = _encode_turn(chat, messages[: i + 1], tools, longest)
        row_proof.check_answer(chat, messages[: i + 1], turn.trained_text, tools)
        prompt_text = turn.prompt_text
        trained = [False] * len(turn.prompt) + turn.trained
        if rows and turn.prompt[: len(rows[-1][0])] == rows[-1][0]:  # it goes on from the earlier turn's row
            _, earlier = rows.pop()
            trained[: len(earlier)] = earlier
        rows.append((turn.prompt + turn.answer, trained))
    row_proof.check_context(chat, messages[: turns[-1]], prompt_text, tools)
    _check_length(max(len(tokens) for tokens, _ in rows), max_tokens)
    return [Encoded(tuple(tokens), tuple(trained)) for tokens, trained in rows]


def encode_conversation(
    chat: ChatFormat,
    messages: Sequence[Message],
    *,
    num_context: int = 0,
    tools: Tools = (),
    max_tokens: int | None = None,
) -> Encoded:
    """`encode_rows` for callers that need exactly one row, such as an answer of a pair.

    Raises DataError where the template needs a row for each of several turns.
    """
    rows = encode_rows(chat, messages, num_context=num_context, tools=tools, max_tokens=max_tokens)
    if len(rows) > 1:
        raise DataError(
            f"{chat.origin} writes an earlier assistant turn differently once more turns follow, so the "
            "answer "
            f"of {len(rows)} turns is not one row. Move all turns but the last into the prompt."
        )
    return rows[0]


def encode_steps(
    chat: ChatFormat,
    messages: Sequence[Message],
    separator: str,
    *,
    tools: Tools = (),
    max_tokens: int | None = None,
) -> Encoded:
    """Encode a conversation whose last turn is an answer in steps.

    `trained` marks the last token of each step.

    White space around steps is normalised first, so it affects neither their number nor their tokens.
    Steps that the chat template drops have no token, and steps that end in the same token are marked once.
    A caller with one label per step must therefore compare the numbers.
    """
    *context, answer = messages
    steps = split_steps(answer.content, separator)
    turns = [*context, replace(answer, content=separator.join(steps))]
    chat.check_texts(turns, tools)
    turn = _encode_turn(chat, turns, tools, None, with_offsets=True)
    row_proof.check_context(chat, context, turn.prompt_text, tools)
    text, offsets = turn.answer_text, turn.offsets
    trained = [False] * len(turn.answer)
    begin = end = 0
    for step in steps:
        # Some templates write text before the answer, or move the white space in it.
        start = begin if text.startswith(step, begin) else text.find(step, end)
        if start >= 0:
            end = start + len(step)
            begin = end + len(separator)
            # The last token that begins before the step's end; it may also hold the separator.
            last = max(i for i, (left, right) in enumerate(offsets) if left < end and left < right)
            trained[last] = True
    row = Encoded(tuple(turn.prompt + turn.answer), (False,) * len(turn.prompt) + tuple(trained))
    _check_length(len(row), max_tokens)
    return row


def split_steps(answer: str, separator: str) -> list[str]:
    """Split an answer at the separator and strip each step.  Empty steps are dropped."""
    return [step for part in answer.split(separator) if (step := part.strip())]


def encode_prompt(chat: ChatFormat, messages: Sequence[Message], *, tools: Tools = ()) -> tuple[int, ...]:
    """Token ids of a prompt up to where the assistant's answer begins: the same ids as in training."""
    chat.check_texts(messages, tools)
    text = chat.render(messages, generation_prompt=True, tools=tools)
    row_proof.check_context(chat, messages, text, tools)
    return tuple(chat.tokens(text))


def trained_turns(messages: Sequence[Message], num_context: int) -> list[int]:
    """The positions of the assistant turns to train."""
    is_asked = False
    turns = []
    for i, message in enumerate(messages):
        is_asked = is_asked or message.role not in ("system", "assistant")
        if message.role == "assistant" and message.trained and i >= num_context and is_asked:
            turns.append(i)
    return turns


def _tokenized_end(chat: ChatFormat, messages: Sequence[Message], tools: Tools) -> "_Longest | None":
    """The text of the last turn with its tokens, which usually are those of the earlier turns too.

    None if the turn is refused: an earlier turn may be refused first.
    """
    try:
        texts = _turn_texts(chat, messages, tools)
    except FairleadError:
        return None
    whole = TokenizedText(chat.text_tokenizer, texts.prompt + texts.answer)
    return _Longest(len(messages), texts, whole)


def _encode_turn(
    chat: ChatFormat,
    messages: Sequence[Message],
    tools: Tools,
    longest: "_Longest | None",
    *,
    with_offsets: bool = False,
) -> _Turn:
    is_last = longest is not None and longest.num_messages == len(messages)
    texts = longest.texts if longest is not None and is_last else _turn_texts(chat, messages, tools)
    whole = None if longest is None else longest.whole
    prompt, answer, offsets = _tokens_of_turn(
        chat, texts, whole, with_offsets=with_offsets or texts.generated is not None
    )
    bos = chat.tokenizer.bos_token_id
    if bos is not None and bos not in chat.stop_ids and (prompt + answer)[:2] == [bos, bos]:
        raise ModelError(
            "the text begins with two BOS tokens: the chat template and the tokenizer each add one. "
            "Remove one of them."
        )
    gaps = _gaps(chat, texts.generated)
    trained = [not any(left < end and right > start for start, end in gaps) for left, right in offsets] or [
        True
    ] * len(answer)
    trained_text = texts.answer
    for start, end in reversed(gaps):
        trained_text = trained_text[:start] + trained_text[end:]
    return _Turn(texts.prompt, prompt, texts.answer, answer, trained, trained_text, offsets)


def _turn_texts(chat: ChatFormat, messages: Sequence[Message], tools: Tools) -> Continuation:
    """The texts of an assistant turn; the answer ends with the token at which sampling stops."""
    texts = continue_prompt(chat, messages, tools)
    answer = texts.answer
    if not answer.strip():
        raise DataError(
            f"no token would be trained: {chat.origin} writes nothing for the assistant turn. Remove the "
            "turn, or give a template that writes it with template.file=PATH."
        )
    if chat.first_stop(answer) is None:
        answer += chat.end_before_next(messages, answer, tools)
    stop = chat.first_stop(answer)
    if stop is None:
        raise ModelError(_no_end(chat, answer))
    return texts._replace(answer=answer[:stop])  # what the template writes after it is never sampled


def _no_end(chat: ChatFormat, answer_text: str) -> str:
    known = ", ".join(map(repr, chat.tokenizer.convert_ids_to_tokens(sorted(chat.stop_ids))))
    control = answer_text[chat.last_control(answer_text) :] if chat.has_control(answer_text) else ""
    remedy = (
        f"It ends the turn with {control!r}: name this token with template.stop_tokens, or set"
        if control
        else "Write {{ eos_token }} after the answers in a copy of it, and set the copy, or"
    )
    return (
        f"{chat.origin} writes no end-of-turn token after an assistant turn, so the model would never learn "
        "to "
        f"stop. Known end tokens: {known}. {remedy} another template with template.file."
    )


def _tokens_of_turn(
    chat: ChatFormat, texts: Continuation, whole: TokenizedText | None, *, with_offsets: bool
) -> tuple[list[int], list[int], Offsets]:
    """The tokens of the prompt and of the answer, and the answer's characters of each if asked for.

    `whole` may be a longer text that begins with this turn.
    """
    text = texts.prompt + texts.answer
    end = whole.num_tokens_of(len(text)) if whole is not None and whole.text.startswith(text) else None
    if whole is None or end is None:
        whole = TokenizedText(chat.text_tokenizer, text)
        end = len(whole.tokens)
    prompt = whole.tokens_of(len(texts.prompt))
    if whole.tokens[: len(prompt)] == prompt and len(prompt) <= end:
        offsets = whole.offsets(len(prompt), end) if with_offsets else []
        size = len(texts.prompt)
        return (
            prompt,
            whole.tokens[len(prompt) : end],
            [(left - size, right - size) for left, right in offsets],
        )
    answer, offsets = _tokens_alone(chat, prompt, texts.answer, whole.tokens[:end], with_offsets=with_offsets)
    return prompt, answer, offsets


def _tokens_alone(
    chat: ChatFormat, prompt: list[int], answer_text: str, whole: list[int], *, with_offsets: bool
) -> tuple[list[int], Offsets]:
    """The tokens of an answer on its own.

    A token of the whole text spans the border between prompt and answer, and sampling could not write it.
    """
    for lead in ("", "\n", "a"):  # some tokenizers put a space before a text, but not after these
        before = chat.tokens(lead) if lead else []
        tokens, offsets = chat.text_tokenizer.tokens_and_offsets(
            lead + answer_text, with_offsets=with_offsets
        )
        answer = tokens[len(before) :]
        if tokens[: len(before)] == before and chat.decode(prompt + answer) == chat.decode(whole):
            shifted = [(left - len(lead), right - len(lead)) for left, right in offsets[len(before) :]]
            return answer, shifted
    raise DataError(
        f"the tokens of the prompt and of the answer {answer_text[:40]!r} on its own are not those of the "
        "conversation, so the answer cannot be trained as it would be sampled. Give a template that ends the "
        "prompt with a control token with template.file=PATH."
    )


def _gaps(chat: ChatFormat, generated: Sequence[tuple[int, int]] | None) -> list[tuple[int, int]]:
    """The characters of an answer that the template marks as not generated.

    What stands between the prompt and the first {% generation %} block, and between the last one and the stop
    token, has to be sampled too, so it is no gap.
    """
    if generated is None:
        return []
    if not generated:
        raise DataError(
            f"no token would be trained: {chat.origin} writes the assistant turn outside its "
            "{% generation %} blocks. Give another template with template.file=PATH."
        )
    return [(left[1], right[0]) for left, right in pairwise(generated) if left[1] < right[0]]


def _check_length(num_tokens: int, max_tokens: int | None) -> None:
    if max_tokens is not None and num_tokens > max_tokens:
        raise TooLong(f"the conversation has {counted(num_tokens, 'token')}; at most {max_tokens} fit.")
