"""Chat templates: turn messages into token ids and a mask of the tokens that carry loss.

The conversation is rendered once with the model's chat template and tokenised once.  The mask is derived
from character offsets, so it marks exactly the tokens that the assistant turns became.  This module does not
pad or batch; see `batching.py`.

Conversations that would train the wrong tokens are errors: an empty mask, an assistant turn whose
end-of-turn token would not be trained, a doubled BOS token, and message text that contains a control token
of the tokenizer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import DataError, ModelError
from fairlead.data.records import Message, message_to_json


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


def num_trained_tokens(rows: Iterable[Encoded]) -> int:
    """Number of tokens that carry loss.  The first token of a row never does: nothing precedes it."""
    return sum(sum(row.trained[1:]) for row in rows)


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    stop_ids: frozenset[int],
    num_context: int = 0,
    max_tokens: int | None = None,
) -> Encoded:
    """Encode a conversation.

    The assistant turns from message `num_context` on are trained, end-of-turn tokens included.

    Raises TooLong for more than `max_tokens` tokens: truncation would remove the end that the model has to
    learn. Raises DataError or ModelError if the mask would be wrong; see the module docstring.
    """
    text = render(tokenizer, messages, generation_prompt=False)
    turns = []  # character range of each trained turn
    for i, message in enumerate(messages):
        if message.role == "assistant" and message.trained and i >= num_context:
            start = len(_rendered_prefix(tokenizer, text, messages[:i], generation_prompt=True))
            stop = len(_rendered_prefix(tokenizer, text, messages[: i + 1], generation_prompt=False))
            turns.append((start, stop))
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens: list[int] = encoding["input_ids"]
    offsets: list[tuple[int, int]] = encoding["offset_mapping"]
    trained = [False] * len(tokens)
    end = 0
    for start, stop in turns:
        # A token that spans template and answer, such as a space and a word, is trained: it holds the first
        # letters.
        inside = [
            i for i, (begin, finish) in enumerate(offsets) if begin < stop and finish > max(begin, start)
        ]
        ends = [i for i in inside if tokens[i] in stop_ids]
        if not inside:
            raise DataError("no token would be trained: the assistant turn is empty after rendering.")
        if not ends:
            raise ModelError(
                "the chat template writes no end-of-turn token after an assistant turn, so the model would "
                f"never learn to stop. Known end tokens: {tokenizer.convert_ids_to_tokens(sorted(stop_ids))}."
            )
        end = ends[-1]
        for i in range(inside[0], end + 1):
            trained[i] = True
    if not turns:
        raise DataError("no token would be trained: the conversation has no assistant turn after the prompt.")
    bos = tokenizer.bos_token_id
    if bos is not None and bos not in stop_ids and tokens[:2] == [bos, bos]:
        raise ModelError(
            "the text begins with two BOS tokens: the chat template and the tokenizer each add one. "
            "Remove one of them."
        )
    # Text that the template writes after the last end of turn is never sampled, so it is cut off.
    tokens = tokens[: end + 1]
    if max_tokens is not None and len(tokens) > max_tokens:
        raise TooLong(f"the conversation has {len(tokens)} tokens; at most {max_tokens} fit.")
    return Encoded(tuple(tokens), tuple(trained[: end + 1]))


def encode_steps(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    separator: str,
    *,
    stop_ids: frozenset[int],
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
    turns = [*context, Message(answer.role, separator.join(steps))]
    conversation = encode_conversation(
        tokenizer, turns, stop_ids=stop_ids, num_context=len(context), max_tokens=max_tokens
    )
    text = render(tokenizer, turns, generation_prompt=False)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets: list[tuple[int, int]] = encoding["offset_mapping"]
    trained = [False] * len(conversation)
    end = len(_rendered_prefix(tokenizer, text, context, generation_prompt=True))
    begin = end
    for step in steps:
        # Some templates write text before the answer, or move the white space in it.
        start = begin if text.startswith(step, begin) else text.find(step, end)
        if start >= 0:
            end = start + len(step)
            begin = end + len(separator)
            # The last token that begins before the step's end; it may also hold the separator.
            last = max(i for i, (left, right) in enumerate(offsets) if left < end and left < right)
            trained[last] = True
    return Encoded(conversation.tokens, tuple(trained))


def split_steps(answer: str, separator: str) -> list[str]:
    """Split an answer at the separator and strip each step.  Empty steps are dropped."""
    return [step for part in answer.split(separator) if (step := part.strip())]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """Token ids of a prompt up to where the assistant's answer begins: the same ids as in training."""
    text = render(tokenizer, messages, generation_prompt=True)
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool
) -> str:
    """Apply the chat template.  Raises DataError if a message contains a control token of the tokenizer."""
    controls = control_tokens(tokenizer)
    for message in messages:
        for token in controls:
            if token in message.content:
                raise DataError(
                    f"a {message.role} message contains the control token {token!r}, which would end or "
                    "fake a turn. Remove it."
                )
    rows = [message_to_json(message) for message in messages]
    try:
        text = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=generation_prompt)
    except TemplateError as error:
        raise DataError(f"the model's chat template rejects this conversation: {error}.") from error
    assert isinstance(text, str)
    return text


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Texts that the tokenizer maps to special tokens: the named ones and all tokens marked as special."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return (set(tokenizer.all_special_tokens) | added) - {""}


def _rendered_prefix(
    tokenizer: PreTrainedTokenizerBase, text: str, messages: Sequence[Message], *, generation_prompt: bool
) -> str:
    """Render the first messages.

    The result must be a prefix of `text`; otherwise character offsets mean nothing.
    """
    if not messages:
        return ""
    prefix = render(tokenizer, messages, generation_prompt=generation_prompt)
    if not text.startswith(prefix):
        stripped = prefix.rstrip()  # some templates write white space that a following turn replaces
        if not text.startswith(stripped):
            raise ModelError(
                "the chat template renders the first turns of a conversation differently when more turns "
                "follow, so turns cannot be masked. Use another chat template."
            )
        return stripped
    return prefix
