"""Tokens of beginnings equal those of plain tokenisation, and a conversation is tokenised once."""

from typing import Any, get_args

import pytest
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

from chat_templates import PUBLISHED, Kind, Published, generation_stops, tokenizer
from fairlead.core.errors import FairleadError
from fairlead.data.records import Message
from fairlead.encoding.chat import Encoded, encode_rows, encode_steps
from fairlead.encoding.chat_format import ChatFormat
from fairlead.encoding.tokenized_text import TextTokenizer, TokenizedText
from fakes import assistant, chat_format, turns, user
from template_matrix import CONVERSATIONS

ODD = tuple(
    (user(question), assistant(answer), user("more"), assistant(second))
    for question, answer, second in (
        ("  hi \n", "\n\n  x", " yes \n"),
        ("x", "<think>\nq\n</think>\nindeed", " 你好 e\u0301 🙂\u3000"),
        ("<|end", "|> \r\n", "> 1 2 3"),
    )
)


class Counting(TextTokenizer):
    """Counts the characters that are tokenised."""

    num_characters = 0

    def tokens(self, text: str) -> list[int]:
        self.num_characters += len(text)
        return super().tokens(text)

    def encoding(self, text: str) -> Encoding | None:
        self.num_characters += len(text)
        return super().encoding(text)


def plain(chat: ChatFormat) -> ChatFormat:
    chat.text_tokenizer.cutting = {}
    return chat


def outcomes(chat: ChatFormat) -> list[object]:
    """Rows, or refusals, of many conversations."""
    results: list[object] = []
    known = [(c.messages, c.num_context, c.tools) for c in CONVERSATIONS.values()]
    for messages, num_context, tools in [*known, *((messages, 0, ()) for messages in ODD)]:
        try:
            results.append(encode_rows(chat, messages, num_context=num_context, tools=tools))
        except FairleadError as error:
            results.append(str(error))
        try:
            results.append(encode_steps(chat, messages, "\n", tools=tools))
        except FairleadError as error:
            results.append(str(error))
    return results


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_rows_are_those_of_plain_tokenisation(published: Published) -> None:
    for unmarked in (False, True):
        for kind in (None, *get_args(Kind)) if published is PUBLISHED[0] else (None,):
            tokens = tokenizer(published, kind=kind, unmarked=unmarked)
            stops = generation_stops(published, tokens)
            try:
                fast, slow = (ChatFormat(tokens, declared=stops) for _ in range(2))
            except FairleadError:  # this tokenizer does not fit the template
                continue
            expected = outcomes(plain(slow))
            assert outcomes(fast) == expected  # the first texts are compared with plain tokenisation
            assert outcomes(fast) == expected  # and later ones are not


def test_a_conversation_is_tokenised_once() -> None:
    chat = chat_format()
    counting = Counting(chat.tokenizer, chat.text_tokenizer.controls)
    counting.num_checked = counting.num_beginnings_checked = 1000
    chat.text_tokenizer = counting
    messages = turns(*(text for i in range(8) for text in (f"What is {i}?", f"{i} is a number.")))
    [first] = encode_rows(chat, messages)
    counting.num_characters = 0
    assert encode_rows(chat, messages) == [first]
    assert counting.num_characters == len(chat.render(messages, generation_prompt=False))


def test_a_tokenizer_of_another_text_is_not_trusted() -> None:
    class Lowering(PreTrainedTokenizerFast):
        def __call__(self, text: Any, *others: Any, **options: Any) -> Any:
            return super().__call__(text.replace("Z", "z"), *others, **options)

    chat = chat_format()
    other: Any = Lowering(  # type: ignore[no-untyped-call]
        tokenizer_object=chat.tokenizer.backend_tokenizer, eos_token="<|end|>", pad_token="<|pad|>"
    )
    tokens = TextTokenizer(other, chat.text_tokenizer.controls)
    text = TokenizedText(tokens, "<|user|>Zoo<|end|>")
    assert text.tokens == tokens.tokens("<|user|>zoo<|end|>") and not tokens.cutting
    assert text.tokens_of(11) == tokens.tokens("<|user|>zoo")


def test_truncation_in_the_tokenizer_file_is_switched_off() -> None:
    chat = chat_format("{{ '' }}" + chat_format().template)
    chat.tokenizer.backend_tokenizer.enable_truncation(4)
    messages: tuple[Message, ...] = (user("What is the color of the sky?"), assistant("The sky is blue."))
    rows = encode_rows(chat, messages)
    assert rows == encode_rows(plain(chat_format()), messages)
    chat.tokenizer.backend_tokenizer.enable_truncation(4)
    assert encode_rows(chat, messages) == rows
    assert isinstance(rows[0], Encoded) and len(rows[0]) > 4
