"""Whatever people write: what is trained is the assistant's text and the token that ends it, no more and no
less.
"""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.data.records import Message, Messages
from fairlead.encoding.built_in_templates import BUILT_IN
from fairlead.encoding.chat import encode_conversation
from fairlead.encoding.chat_format import ChatFormat
from fakes import tokenizer

INNER = tokenizer()
PLAIN = copy.deepcopy(INNER)
PLAIN.chat_template = BUILT_IN["plain"].text

PIECES = (
    " ",
    "\n",
    "\t",
    "<|",
    "end",
    "|>",
    "'s",
    "é",
    "🙂",
    "e\u0301",
    "the sky",
    "42",
    ":",
)  # that tokenizers treat specially

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),  # all that JSON can carry
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join),
).filter(lambda text: not any(token in text for token in INNER.all_special_tokens))


@st.composite
def conversations(draw: st.DrawFn) -> Messages:
    system = (Message("system", draw(texts)),) if draw(st.booleans()) else ()
    pairs = draw(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
    return system + tuple(
        message
        for asked, answer in pairs
        for message in (Message("user", asked), Message("assistant", answer))
    )


def trained_text(inner: Any, messages: Messages, num_context: int = 0) -> str:
    encoded = encode_conversation(ChatFormat(inner), messages, num_context=num_context)
    return str(
        INNER.decode(
            [token for token, trained in zip(encoded.tokens, encoded.trained, strict=True) if trained]
        )
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(conversations())
def test_own_template(messages: Messages) -> None:
    answers = [message.content for message in messages if message.role == "assistant"]
    assert trained_text(INNER, messages) == "".join(f"{answer}<|end|>" for answer in answers)
    assert trained_text(INNER, messages, num_context=len(messages) - 1) == f"{answers[-1]}<|end|>"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(conversations())
def test_plain_template(messages: Messages) -> None:
    # its space before an answer is one token with the answer's first word, or, before white space, a token
    # with that
    answers = [message.content for message in messages if message.role == "assistant"]
    assert trained_text(PLAIN, messages) == "".join(f" {answer}<|end|>" for answer in answers)
