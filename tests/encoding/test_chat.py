import copy
from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from fairlead.core.errors import DataError, ModelError
from fairlead.data.records import Message, Messages, ToolCall
from fairlead.encoding.built_in_templates import BUILT_IN
from fairlead.encoding.chat import (
    Encoded,
    TooLong,
    encode_conversation,
    encode_prompt,
    encode_steps,
    split_steps,
)
from fairlead.encoding.chat_format import ChatFormat
from fakes import assistant, tokenizer, turns, user

PLAIN_TEMPLATE = BUILT_IN["plain"].text

# As many published models have it: a newline after each end of turn, and a system turn of its own.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def with_template(template: str) -> PreTrainedTokenizerFast:
    changed = copy.deepcopy(tokenizer())
    changed.chat_template = template
    return changed


def chatml() -> PreTrainedTokenizerFast:
    """One token per character, so that every expected token can be read off the text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>"]
    inner = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate([*alphabet, *special])}, merges=[])
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.post_processor = processors.ByteLevel(trim_offsets=True)
    inner.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHATML
    return wrapped


def with_token(text: str) -> PreTrainedTokenizerFast:
    """`chatml` with one more token, which is this text."""
    made = chatml()
    made.add_tokens([text])
    return made


def encode(inner: PreTrainedTokenizerFast, messages: Messages, **options: Any) -> Encoded:
    return encode_conversation(ChatFormat(inner), messages, **options)


def stretches(inner: PreTrainedTokenizerFast, encoded: Encoded) -> list[tuple[bool, str]]:
    """The conversation cut where the mask changes: (trained, text) in turn."""
    found: list[tuple[bool, list[int]]] = []
    for token, trained in zip(encoded.tokens, encoded.trained, strict=True):
        if not found or found[-1][0] != trained:
            found.append((trained, []))
        found[-1][1].append(token)
    return [(trained, str(inner.decode(tokens))) for trained, tokens in found]


# ---------------------------------------------------------------- what is trained


def test_own_template_trains_the_answer_and_its_end_token_by_token() -> None:
    inner = tokenizer()

    def plain(text: str) -> list[int]:
        return list(inner(text, add_special_tokens=False)["input_ids"])

    ids = {name: inner.convert_tokens_to_ids(name) for name in ("<|user|>", "<|assistant|>", "<|end|>")}
    question, answer = plain("What is it?"), plain("It is 4.")
    encoded = encode(inner, turns("What is it?", "It is 4."))
    assert list(encoded.tokens) == [
        ids["<|user|>"],
        *question,
        ids["<|end|>"],
        ids["<|assistant|>"],
        *answer,
        ids["<|end|>"],
    ]
    assert list(encoded.trained) == [False] * (len(question) + 3) + [True] * (len(answer) + 1)


def test_own_template_trains_every_turn_of_a_conversation() -> None:
    messages = (Message("system", "Be brief."), *turns("One?", "Yes.", "Two?", "No."))
    assert stretches(tokenizer(), encode(tokenizer(), messages)) == [
        (False, "<|system|>Be brief.<|end|><|user|>One?<|end|><|assistant|>"),
        (True, "Yes.<|end|>"),
        (False, "<|user|>Two?<|end|><|assistant|>"),
        (True, "No.<|end|>"),
    ]


def test_turns_of_the_prompt_are_context_only() -> None:
    encoded = encode(tokenizer(), turns("One?", "Yes.", "Two?", "No."), num_context=3)
    assert stretches(tokenizer(), encoded) == [
        (False, "<|user|>One?<|end|><|assistant|>Yes.<|end|><|user|>Two?<|end|><|assistant|>"),
        (True, "No.<|end|>"),
    ]


def test_a_turn_marked_as_untrained_is_context_only() -> None:
    question, answer, again, last = turns("One?", "Yes.", "Two?", "No.")
    messages = (question, replace(answer, trained=False), again, last)
    assert encode(tokenizer(), messages) == encode(
        tokenizer(), (question, answer, again, last), num_context=3
    )


def test_the_template_sees_tool_calls_and_their_results() -> None:
    inner = chatml()
    inner.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}"
        "{{ c.function.arguments | tojson }}{% endfor %}"
        "<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    called = Message("assistant", "", tool_calls=(ToolCall("add", {"a": 2}),))
    messages = (user("One?"), called, Message("tool", "4"), assistant("It is 4."))
    assert stretches(inner, encode(inner, messages)) == [
        (False, "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n"),
        (True, 'add{"a": 2}<|im_end|>'),
        (False, "\n<|im_start|>tool\n4<|im_end|>\n<|im_start|>assistant\n"),
        (True, "It is 4.<|im_end|>"),
    ]


def test_plain_template_trains_the_first_word_of_an_answer_too() -> None:
    inner = with_template(PLAIN_TEMPLATE)
    assert stretches(inner, encode(inner, turns("What is it?", "It is 4.", "And?", "The story"))) == [
        (False, "User: What is it?\n\nAssistant:"),
        (True, " It is 4.<|end|>"),  # the space belongs to the first word's token
        (False, "\n\nUser: And?\n\nAssistant:"),
        (True, " The story<|end|>"),
    ]


def test_an_answer_begins_with_a_token_that_sampling_can_write() -> None:
    # this template's own space melts into the answer's first word, after which sampling never begins
    inner = with_template(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    assert stretches(inner, encode(inner, turns("What?", "The story"))) == [
        (False, "user: What?<|end|>assistant: "),
        (True, "The story<|end|>"),
    ]


def test_what_a_template_writes_after_the_end_of_a_turn_is_not_trained() -> None:
    inner = chatml()
    assert stretches(
        inner, encode(inner, (Message("system", "Be."), *turns("One?", "Yes.", "Two?", "No.")))
    ) == [
        (
            False,
            "<|im_start|>system\nBe.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (True, "Yes.<|im_end|>"),
        (False, "\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"),
        (True, "No.<|im_end|>"),  # the newline after the last end is cut: it would never be sampled
    ]


def test_a_template_whose_beginning_loses_white_space_is_understood() -> None:
    # writes a newline after the last message only, so the beginning of a conversation is no prefix of the
    # whole
    inner = chatml()
    inner.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% if "
        "loop.last %}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
    )
    found = stretches(inner, encode(inner, turns("One?", "Yes.", "Two?", "No.")))
    assert [text for trained, text in found if trained] == ["Yes.<|im_end|>", "No.<|im_end|>"]


def test_a_second_end_token_counts_where_the_model_declares_it() -> None:
    # the template ends turns with <|user|>, say, while the tokenizer's own end token is another one
    inner = with_template("{% for m in messages %}{{ m['content'] }}<|user|>{% endfor %}")
    chat = ChatFormat(inner, declared=inner.convert_tokens_to_ids("<|user|>"))
    encoded = encode_conversation(chat, turns("What?", "The story"))
    assert stretches(inner, encoded)[-1] == (True, "The story<|user|>")


def test_a_prompt_ends_where_the_trained_answer_begins() -> None:
    for inner in (tokenizer(), with_template(PLAIN_TEMPLATE), chatml()):
        messages = turns("What is it?", "It is 4.")
        encoded = encode(inner, messages)
        first = encoded.trained.index(True)
        assert encode_prompt(ChatFormat(inner), messages[:1]) == encoded.tokens[:first]


# ---------------------------------------------------------------- what is refused


def test_a_template_without_an_end_token_is_refused() -> None:
    inner = with_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")
    with pytest.raises(
        ModelError, match=r"no end-of-turn token after an assistant turn.*never learn to stop.*<\|end\|>"
    ):
        encode(inner, turns("What?", "The story"))


def test_an_end_token_after_the_first_turn_only_is_refused() -> None:
    inner = with_template(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ '<|end|>' if loop.index0 < 2 "
        "}}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(ModelError, match="never learn to stop"):
        encode(inner, turns("One?", "Yes.", "Two?", "No."))


def test_a_doubled_bos_is_refused() -> None:
    inner = with_template("<|system|><|system|>{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}")
    inner.bos_token = "<|system|>"
    with pytest.raises(ModelError, match="two BOS tokens"):
        encode(inner, turns("What?", "The story"))
    inner.chat_template = "<|system|>{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"
    assert (
        encode(inner, turns("What?", "The story")).tokens[1] != inner.bos_token_id
    )  # and a single one is not


def test_a_control_token_in_a_message_is_refused() -> None:
    for messages in (turns("What<|end|>?", "The story"), turns("What?", "The<|assistant|> story")):
        with pytest.raises(DataError, match=r"message contains the control token '<\|\w+\|>'.*Remove it"):
            encode(tokenizer(), messages)
    with pytest.raises(DataError, match="a user message contains the control token"):
        encode_prompt(ChatFormat(tokenizer()), (user("hello<|pad|>"),))


def test_a_conversation_that_does_not_fit_is_an_error_and_never_cut() -> None:
    messages = turns("What is it?", "It is 4.")
    length = len(encode(tokenizer(), messages))
    assert len(encode(tokenizer(), messages, max_tokens=length)) == length
    with pytest.raises(TooLong, match=f"has {length} tokens; at most {length - 1} fit"):
        encode(tokenizer(), messages, max_tokens=length - 1)


def test_a_conversation_without_a_trained_turn_is_refused() -> None:
    for messages, num_context in (((user("What?"),), 0), (turns("One?", "Yes."), 2)):
        with pytest.raises(DataError, match="no assistant turn after the prompt"):
            encode(tokenizer(), messages, num_context=num_context)


def test_an_answer_that_the_template_leaves_out_is_refused() -> None:
    inner = with_template(
        "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}<|end|>{% endfor %}"
    )
    with pytest.raises(DataError, match="no token would be trained"):
        encode(inner, (user("What?"), assistant("The story")))


def test_a_template_may_rewrite_the_past() -> None:
    inner = with_template(
        "{{ messages | length }}{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"
    )
    # after the one message of the prompt, sampling meets a 1
    assert stretches(inner, encode(inner, turns("What?", "The story"))) == [
        (False, "1What?<|end|>"),
        (True, "The story<|end|>"),
    ]


# ---------------------------------------------------------------- answers in steps


def ends(inner: PreTrainedTokenizerFast, answer: str, separator: str = "\n") -> tuple[Encoded, list[str]]:
    """What has been read of the conversation where each step ends."""
    encoded = encode_steps(ChatFormat(inner), turns("So?", answer), separator)
    places = [i for i, end in enumerate(encoded.trained) if end]
    return encoded, [str(inner.decode(list(encoded.tokens[: i + 1]))) for i in places]


def test_the_last_token_of_each_step_is_marked() -> None:
    encoded, read = ends(chatml(), "3+4=7\n7+1=8\nIt is 8.")
    begin = "<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n"
    assert read == [f"{begin}3+4=7", f"{begin}3+4=7\n7+1=8", f"{begin}3+4=7\n7+1=8\nIt is 8."]
    assert encoded.tokens == encode(chatml(), turns("So?", "3+4=7\n7+1=8\nIt is 8.")).tokens


@pytest.mark.parametrize("template", ["plain", "chatml"])
def test_white_space_around_steps_changes_nothing(template: str) -> None:
    inner = tokenizer() if template == "plain" else chatml()
    tidy, read = ends(inner, "The sky is blue.\nThe grass is green.")
    assert len(read) == 2
    assert ends(inner, "\n  The sky is blue. \n\n\n The grass is green.\n ")[0] == tidy


def test_a_letter_of_several_tokens_ends_with_its_last_one() -> None:
    inner = chatml()  # one token per byte
    encoded, read = ends(inner, "a = 3 €\nb = 4")
    assert read[0].endswith("a = 3 €") and read[1].endswith("b = 4")
    assert inner.convert_ids_to_tokens([encoded.tokens[encoded.trained.index(True) + 1]]) == [
        "Ċ"
    ]  # a line break in bytes


def test_a_template_may_write_something_before_the_answer() -> None:
    inner = chatml()
    inner.chat_template = CHATML.replace(
        "{{ m['content'] }}", "{% if m['role'] == 'assistant' %}<note>\n{% endif %}{{ m['content'] }}"
    )
    _, read = ends(inner, "3+4=7\nIt is 7.")
    assert [text.rpartition("<note>\n")[2] for text in read] == ["3+4=7", "3+4=7\nIt is 7."]


def test_an_answer_without_a_step_has_no_end() -> None:
    encoded, read = ends(chatml(), " \n ")
    assert read == [] and len(encoded) > 0


def test_a_step_that_the_template_leaves_out_or_moves() -> None:
    inner = chatml()
    inner.chat_template = CHATML.replace(
        "{{ m['content'] }}", "{{ m['content'].split('</think>')[-1].replace(';', ' ; ') }}"
    )
    _, read = ends(inner, "7?\n</think>3+4=7; yes;So 7", ";")
    assert [text.rpartition("\n")[2] for text in read] == ["3+4=7 ; yes", "3+4=7 ; yes ; So 7"]


def test_two_ends_in_one_token_count_as_one() -> None:
    inner = with_token("7|8")
    assert len(ends(inner, "It is 7|9", "|")[1]) == 2
    assert len(ends(inner, "It is 7|8", "|")[1]) == 1


def test_steps_are_read_after_the_tools_of_their_row() -> None:
    chat = ChatFormat(
        with_template(
            "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}"
        )
    )
    tools = ({"type": "function", "function": {"name": "lantern"}},)
    messages = turns("So?", "One.\nTwo.")
    encoded = encode_steps(chat, messages, "\n", tools=tools)
    prompt = encode_prompt(chat, messages[:1], tools=tools)
    assert encoded.tokens[: len(prompt)] == prompt
    assert sum(encoded.trained) == 2


def test_steps_are_cut_at_the_separator() -> None:
    assert split_steps("One.\nTwo.\n\n Three. ", "\n") == ["One.", "Two.", "Three."]
    assert split_steps("One.\nTwo.\n\n Three. ", "\n\n") == ["One.\nTwo.", "Three."]
    assert split_steps("  ", "\n") == []
