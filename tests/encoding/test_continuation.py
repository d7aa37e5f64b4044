from dataclasses import replace

import pytest

from fairlead.core.errors import DataError
from fairlead.data.records import Message
from fairlead.encoding.chat import Encoded, encode_conversation, encode_prompt, encode_rows
from fairlead.encoding.chat_format import ChatFormat
from fairlead.encoding.continuation import continue_prompt, reasoning_of
from fakes import assistant, chat_format, turns, user

END = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
# Reasoning stands in the last turn only.
LAST_ONLY = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|end|>{% endfor %}" + END
)
# The generation prompt opens a block of reasoning, and a finished turn has none.
OPENS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{{ '<think>\n' if enable_thinking is not defined }}{% endif %}"
)


def trained(chat: ChatFormat, row: Encoded) -> str:
    return chat.decode([token for token, flag in zip(row.tokens, row.trained, strict=True) if flag])


def test_each_turn_is_a_row_where_earlier_turns_change() -> None:
    chat = chat_format(LAST_ONLY)
    messages = turns("One?", "Yes.", "Two?", "No.")
    rows = encode_rows(chat, messages)
    assert [trained(chat, row) for row in rows] == [
        "<think>\n\n</think>\n\nYes.<|end|>",
        "<think>\n\n</think>\n\nNo.<|end|>",
    ]
    for row, length in zip(rows, (1, 3), strict=True):
        prompt = encode_prompt(chat, messages[:length])
        assert row.tokens[: len(prompt)] == prompt and not any(row.trained[: len(prompt)])
        assert row.tokens[-1] in chat.stop_ids
    with pytest.raises(DataError, match="answer of 2 turns is not one row"):
        encode_conversation(chat, messages)
    assert encode_conversation(chat, messages, num_context=3) == rows[1]


def test_a_reasoning_that_the_row_holds_is_put_after_the_opened_block() -> None:
    chat = chat_format(OPENS)
    for answer in (
        assistant("<think>\nso\n</think>\n\nYes."),
        assistant("so\n</think>\n\nYes."),
        replace(assistant("Yes."), reasoning="so"),
    ):
        [row] = encode_rows(chat, (user("What?"), answer))
        assert trained(chat, row) == "so\n</think>\n\nYes.<|end|>"
        assert chat.decode(row.tokens).count("<think>") == 1


def test_an_answer_without_reasoning_is_refused_with_a_remedy_that_works() -> None:
    chat = chat_format(OPENS)
    messages = turns("What?", "Yes.")
    with pytest.raises(DataError) as caught:
        encode_rows(chat, messages)
    message = str(caught.value)
    assert r"ends with '<|assistant|><think>\n'" in message
    assert "writes the finished turn as '<|assistant|>Yes.<|end|>'" in message
    assert """Set template.arguments='{"enable_thinking": false}'""" in message
    switched = chat.with_arguments({"enable_thinking": False})
    assert [trained(switched, row) for row in encode_rows(switched, messages)] == ["Yes.<|end|>"]


def test_an_earlier_turn_is_never_taken_for_the_answer() -> None:
    template = OPENS.replace("m.content.split('</think>')[-1]", "m.content")
    messages = (user("One?"), assistant("<think>\nso\n</think>\n\nYes."), user("Two?"), assistant("No."))
    with pytest.raises(DataError, match="generation prompt ends with"):
        encode_rows(chat_format(template), messages)


OPENS_ALWAYS = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{{ '<think>' if m.role == 'assistant' }}{{ m.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
)


def test_a_block_that_is_open_is_not_opened_again() -> None:
    chat = chat_format(OPENS_ALWAYS)
    for message in (assistant("<think>so</think>Yes."), assistant("so</think>Yes.")):
        [row] = encode_rows(chat, (user("What?"), message))
        assert trained(chat, row) == "so</think>Yes.<|end|>"


def test_reasoning_fills_a_block_that_is_open() -> None:
    chat = chat_format(OPENS_ALWAYS)
    [row] = encode_rows(chat, (user("What?"), replace(assistant("Yes."), reasoning="so")))
    assert trained(chat, row) == "so\n</think>\n\nYes.<|end|>"


def test_a_block_that_the_answer_never_closes_is_refused() -> None:
    with pytest.raises(DataError, match="that the answer never closes"):
        encode_rows(chat_format(OPENS_ALWAYS), (user("What?"), assistant("Yes.")))


def test_text_after_the_end_of_a_turn_is_not_trained() -> None:
    chat = chat_format(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|user|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% else %}<|end|>{% endif %}"
    )
    [row] = encode_rows(chat, turns("One?", "Yes.", "Two?", "No."))
    assert trained(chat, row) == "Yes.<|user|>No.<|user|>"


def test_what_lies_between_two_generation_blocks_is_not_trained() -> None:
    chat = chat_format(
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% endgeneration %} (note) {% generation %}Bye.{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}" + END
    )
    [row] = encode_rows(chat, turns("What?", "The sky."))
    assert trained(chat, row).replace(" ", "") == "Thesky.Bye.<|end|>"


def test_an_answer_outside_all_generation_blocks_is_refused() -> None:
    chat = chat_format(
        "{% for m in messages %}{% if m.role == 'user' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
    )
    with pytest.raises(DataError, match="outside its {% generation %} blocks"):
        encode_rows(chat, turns("What?", "The sky."))


def test_a_greeting_is_context() -> None:
    messages = (assistant("Hello!"), *turns("What?", "The sky."))
    chat = chat_format()
    [row] = encode_rows(chat, messages)
    assert trained(chat, row) == "The sky.<|end|>"
    assert "Hello!" in chat.decode(row.tokens)


def test_the_parts_of_an_answer() -> None:
    assert reasoning_of(assistant("<think>a</think>b")) == ("a", "b")
    assert reasoning_of(assistant("a</think>b")) == ("a", "b")
    assert reasoning_of(assistant("b")) == ("", "b")
    assert reasoning_of(Message("assistant", "b", reasoning="a")) == ("a", "b")
    prompt, answer, generated = continue_prompt(chat_format(), turns("What?", "Yes."), ())
    assert (prompt, answer, generated) == ("<|user|>What?<|end|><|assistant|>", "Yes.<|end|>", None)
