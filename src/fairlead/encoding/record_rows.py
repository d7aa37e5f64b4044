"""The rows of each kind of record: functions of an encoder, a record and the largest number of tokens.

They raise TooLong for a record that does not fit and DataError for another problem of a record.  Worker
processes run them, so nothing here imports torch.
"""

from typing import Protocol

from fairlead.core.errors import DataError
from fairlead.core.plural import agreeing, counted
from fairlead.data import preferences
from fairlead.data.preferences import Preference
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Message,
    Messages,
    Prompt,
    Rating,
    Stepwise,
)
from fairlead.encoding import row_proof
from fairlead.encoding.chat import Encoded, split_steps
from fairlead.encoding.chat_format import ChatFormat, Tools
from fairlead.encoding.encoders import RewardEncoder

# The rows of an answer: one, or one for each of its turns where the template asks for it (`encode_rows`).
# The log-probability of the answer is the sum over them: each turn is sampled after its own row's prompt.
Answer = tuple[Encoded, ...]
Pair = tuple[Answer, Answer]  # the chosen and the rejected answer
SingleOrPair = tuple[Answer] | Pair  # the answers of one training example


class EncodesAnswers(Protocol):
    """A policy, or its encoder."""

    @property
    def chat(self) -> ChatFormat: ...

    def encode(
        self, messages: Messages, *, num_context: int, max_tokens: int | None = None, tools: Tools = ()
    ) -> Encoded: ...

    def encode_rows(
        self, messages: Messages, *, num_context: int, max_tokens: int | None = None, tools: Tools = ()
    ) -> list[Encoded]: ...

    def encode_prompt(self, messages: Messages, *, tools: Tools = ()) -> tuple[int, ...]: ...


class EncodesScored(Protocol):
    """A reward model, or its encoder."""

    @property
    def chat(self) -> ChatFormat: ...

    def encode(self, messages: Messages, *, max_tokens: int | None = None, tools: Tools = ()) -> Encoded: ...


def encode_answer(
    encoder: EncodesAnswers, prompt: Messages, answer: Messages, max_tokens: int | None, tools: Tools = ()
) -> Answer:
    """Encode a prompt and its answer; only the answer is trained."""
    messages = prompt + answer
    return tuple(encoder.encode_rows(messages, num_context=len(prompt), max_tokens=max_tokens, tools=tools))


def encode_response(encoder: EncodesAnswers, record: Binary | Rating, max_tokens: int | None) -> Answer:
    """Encode a prompt with its response, which has a thumb or a score."""
    return encode_answer(encoder, record.prompt, record.completion, max_tokens, record.tools)


def encode_single_response(
    encoder: EncodesAnswers, record: Binary | Rating, max_tokens: int | None
) -> SingleOrPair:
    """`encode_response` as an example with one answer."""
    return (encode_response(encoder, record, max_tokens),)


def encode_demonstration(encoder: EncodesAnswers, record: Demonstration, max_tokens: int | None) -> Answer:
    """Encode a conversation as one or more rows; the assistant's turns after the prompt are trained."""
    rows = encoder.encode_rows(
        record.messages,
        num_context=record.num_prompt_messages,
        max_tokens=max_tokens,
        tools=record.tools,
    )
    return tuple(rows)


def encode_pair(encoder: EncodesAnswers, comparison: Comparison, max_tokens: int | None) -> Pair:
    """Encode both answers of a comparison, each preceded by the prompt."""
    prompt, tools = comparison.prompt, comparison.tools
    chosen = encode_answer(encoder, prompt, comparison.chosen, max_tokens, tools)
    rejected = encode_answer(encoder, prompt, comparison.rejected, max_tokens, tools)
    row_proof.check_sides(encoder.chat, comparison, chosen, rejected)
    return chosen, rejected


def encode_preference(
    encoder: EncodesScored, record: Preference, max_tokens: int | None
) -> tuple[Encoded, ...]:
    """Encode each answer of a preference, preceded by the prompt."""
    group = tuple(
        encoder.encode(record.prompt + answer, max_tokens=max_tokens, tools=record.tools)
        for answer in preferences.answers_of(record)
    )
    if isinstance(record, Comparison) and record.tie is None:
        row_proof.check_sides(encoder.chat, record, group[:1], group[1:])
    return group


def encode_stepwise(encoder: RewardEncoder, record: Stepwise, max_tokens: int | None) -> Encoded:
    """Encode the answer as a policy would write it, with the ends of its steps marked.

    Raises DataError if splitting the answer would not give the record's steps.
    """
    separator = encoder.separator
    assert separator is not None, "the encoder of a process reward model"
    steps = [step.strip() for step in record.completions]
    answer = separator.join(steps)
    if split_steps(answer, separator) != steps:
        position = next((k for k, step in enumerate(steps, start=1) if separator in step), 1)
        raise DataError(
            f"step {position} contains the separator {separator!r}: the step would be split, and its label "
            "would "
            "fit neither part. Choose another separator, or split the step and its label."
        )
    messages = (*record.prompt, Message("assistant", answer))
    encoded = encoder.encode(messages, max_tokens=max_tokens, tools=record.tools)
    if sum(encoded.trained) != len(steps):
        raise DataError(
            f"its {counted(len(steps), 'step')} {agreeing(len(steps), 'has')} "
            f"{counted(sum(encoded.trained), 'end')} among the model's tokens: the chat "
            "template "
            "changes the answer, or two steps end in one token. Choose another separator or another model."
        )
    return encoded


def encode_whole_prompt(encoder: EncodesAnswers, record: Prompt, max_tokens: int | None) -> Encoded:
    """The tokens of a prompt up to where the answer begins, of which none is trained.

    They are as many as they are: a caller who has a limit compares it with them.
    """
    tokens = encoder.encode_prompt(record.prompt, tools=record.tools)
    return Encoded(tokens, (False,) * len(tokens))
