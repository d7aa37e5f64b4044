"""From messages to token ids, with an exact mask of what is trained.

The whole conversation is rendered once with the chat template and tokenized once; the mask comes from character offsets, so that it
says exactly which tokens of the real text an assistant turn became.  Errors: an empty mask, a turn whose end carries no loss (the
model would never learn to stop), a doubled BOS, message text that contains one of the tokenizer's own control tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import DataError, ModelError
from fairlead.data.records import Message


@dataclass(frozen=True)
class Encoded:
    """One conversation.

    <|user|> 2 + 2 ? <|end|> <|assistant|> 4 . <|end|>
       .     . . . .    .         .        x x    x       x: trained
    """

    tokens: tuple[int, ...]
    trained: tuple[bool, ...]  # same length; True where the token carries loss

    def __len__(self) -> int:
        return len(self.tokens)


class TooLong(DataError):
    """A row that does not fit; the caller decides whether that is an error."""


def num_trained_tokens(rows: Iterable[Encoded]) -> int:
    """Tokens that carry loss; nothing stands before a row's first token, so that it has none."""
    return sum(sum(row.trained[1:]) for row in rows)


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    stop_ids: frozenset[int],
    num_context: int = 0,
    max_tokens: int | None = None,
) -> Encoded:
    """Tokens of the conversation; trained are the assistant turns from message `num_context` on, each with its end-of-turn token.

    A conversation over `max_tokens` is an error: cutting it would remove the end that the model has to learn.
    """
    text = render(tokenizer, messages, generation_prompt=False)
    spans = []
    for i, message in enumerate(messages):
        if message.role == "assistant" and i >= num_context:
            start = len(_prefix(tokenizer, text, messages[:i], generation_prompt=True))
            spans.append((start, len(_prefix(tokenizer, text, messages[: i + 1], generation_prompt=False))))
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens: list[int] = encoding["input_ids"]
    offsets: list[tuple[int, int]] = encoding["offset_mapping"]
    trained = [False] * len(tokens)
    end = 0
    for start, stop in spans:
        # A token that begins in the template and ends in the answer (a space and a word, say) carries the answer's first letters.
        inside = [
            i for i, (begin, finish) in enumerate(offsets) if begin < stop and finish > max(begin, start)
        ]
        ends = [i for i in inside if tokens[i] in stop_ids]
        if not inside:
            raise DataError("no token would be trained: the assistant turn is empty after rendering.")
        if not ends:
            raise ModelError(
                "the chat template writes no end-of-turn token after an assistant turn, so the model would never learn to stop. "
                f"Known end tokens: {tokenizer.convert_ids_to_tokens(sorted(stop_ids))}."
            )
        end = ends[-1]
        for i in range(inside[0], end + 1):
            trained[i] = True
    if not spans:
        raise DataError("no token would be trained: the conversation has no assistant turn after the prompt.")
    bos = tokenizer.bos_token_id
    if bos is not None and bos not in stop_ids and tokens[:2] == [bos, bos]:
        raise ModelError(
            "the text begins with two BOS tokens: the chat template and the tokenizer each add one. Remove one of them."
        )
    tokens, trained = (
        tokens[: end + 1],
        trained[: end + 1],
    )  # what a template writes after the last end of turn is never sampled
    if max_tokens is not None and len(tokens) > max_tokens:
        raise TooLong(f"the conversation has {len(tokens)} tokens; at most {max_tokens} fit.")
    return Encoded(tuple(tokens), tuple(trained))


def encode_steps(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    separator: str,
    *,
    stop_ids: frozenset[int],
    max_tokens: int | None = None,
) -> Encoded:
    """Tokens of the conversation, whose last turn is an answer in steps; trained is the last token of each step, and nothing else.

    White space around steps is evened out first, so that it changes neither their number nor what is read.  A step that the chat template
    leaves out has no token; steps that end in one token count as one.  Where every step has a label the caller has to compare the numbers.
    """
    *before, last = messages
    steps = split_steps(last.content, separator)
    turns = [*before, Message(last.role, separator.join(steps))]
    whole = encode_conversation(
        tokenizer, turns, stop_ids=stop_ids, num_context=len(before), max_tokens=max_tokens
    )
    text = render(tokenizer, turns, generation_prompt=False)
    offsets: list[tuple[int, int]] = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    trained = [False] * len(whole)
    end = len(_prefix(tokenizer, text, before, generation_prompt=True))
    begin = end
    for step in steps:
        # Some templates write something before an answer, or move the white space in it.
        found = begin if text.startswith(step, begin) else text.find(step, end)
        if found >= 0:
            end = found + len(step)
            begin = end + len(separator)
            # The last token that begins before the end; it may hold the separator besides.
            trained[max(i for i, (left, right) in enumerate(offsets) if left < end and left < right)] = True
    return Encoded(whole.tokens, tuple(trained))


def split_steps(answer: str, separator: str) -> list[str]:
    """The parts of an answer between separators, without white space around them; empty ones are no steps."""
    return [step for part in answer.split(separator) if (step := part.strip())]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[int, ...]:
    """The tokens that stand before an answer, exactly as in training."""
    text = render(tokenizer, messages, generation_prompt=True)
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool
) -> str:
    """The chat template's text; raises DataError where a message contains a control token of this tokenizer."""
    controls = control_tokens(tokenizer)
    for message in messages:
        for token in controls:
            if token in message.content:
                raise DataError(
                    f"a {message.role} message contains the control token {token!r}; it would end or fake a turn. Remove it."
                )
    rows = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=generation_prompt)
    except TemplateError as error:
        raise DataError(f"the model's chat template refuses this conversation: {error}.") from error
    assert isinstance(text, str)
    return text


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Every text that the tokenizer turns into a token of its own meaning: the named ones and all that are marked special."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return (set(tokenizer.all_special_tokens) | added) - {""}


def _prefix(
    tokenizer: PreTrainedTokenizerBase, text: str, messages: Sequence[Message], *, generation_prompt: bool
) -> str:
    """The rendered beginning of the conversation, which must be a beginning of the whole text for offsets to mean anything."""
    if not messages:
        return ""
    beginning = render(tokenizer, messages, generation_prompt=generation_prompt)
    if not text.startswith(beginning):
        shared = beginning.rstrip()  # some templates write white space that a following turn replaces
        if not text.startswith(shared):
            raise ModelError(
                "the chat template renders a beginning of a conversation differently from the whole; turns cannot be masked."
            )
        return shared
    return beginning
