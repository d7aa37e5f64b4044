import time

import pytest
from transformers import PreTrainedTokenizerFast

from fairlead.core.errors import ConfigError, DataError, ModelError
from fairlead.core.template_settings import Template
from fairlead.data.records import Message, ToolCall
from fairlead.encoding.chat_format import ChatFormat, shows_calls
from fakes import chat_format, tokenizer, turns

CHAT = "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"


def token(name: str) -> int:
    found = tokenizer().convert_tokens_to_ids(name)
    assert isinstance(found, int)
    return found


def test_stop_tokens_come_from_all_four_places() -> None:
    template = "{% for m in messages %}{{ m['content'] }} <|user|>\n{% endfor %}"
    chat = chat_format(template, Template(stop_tokens=("<|system|>",)))
    assert chat.end_of_turn == "<|user|>"
    assert chat.stop_ids == {token("<|end|>"), token("<|user|>"), token("<|system|>")}
    declared = ChatFormat(tokenizer(), declared=[token("<|pad|>"), token("<|end|>")])
    assert declared.stop_ids == {token("<|end|>"), token("<|pad|>")}
    assert ChatFormat(tokenizer(), declared=token("<|pad|>")).stop_ids == declared.stop_ids
    assert ChatFormat(tokenizer(), declared=[-1]).stop_ids == {token("<|end|>")}  # no token is meant


def test_a_stop_token_is_one_token() -> None:
    with pytest.raises(ConfigError, match=r"'a stop' is not one token"):
        chat_format(None, Template(stop_tokens=("a stop",)))


@pytest.mark.parametrize(
    "fault",
    ["{{ 'a' + 5 }}", "{{ {}['x'].y.z }}", "{{ 1 // 0 }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"],
)
def test_a_template_that_fails_by_itself_is_named(fault: str) -> None:
    conversation = turns("What?", "The sky.")
    try:
        chat = chat_format(CHAT + fault)
    except ModelError as error:
        assert "fails on a question and its answer" in str(error) and "template.file" in str(error)
        return
    with pytest.raises(DataError, match="chat template of the model (rejects|fails)"):
        chat.render(conversation, generation_prompt=False)


def test_a_template_that_refuses_a_system_message_names_the_remedy() -> None:
    chat = chat_format("{% if messages[0].role == 'system' %}{{ raise_exception('No') }}{% endif %}" + CHAT)
    with pytest.raises(DataError, match="No. It takes no system message: template.fold_system=true puts"):
        chat.render((Message("system", "Be."), *turns("What?")), generation_prompt=True)


def test_a_template_cannot_leave_the_sandbox() -> None:
    with pytest.raises((DataError, ModelError)):
        chat_format("{{ ''.__class__.__mro__[1].__subclasses__() }}" + CHAT).render(
            turns("What?"), generation_prompt=True
        )


def test_control_tokens_of_every_field_are_refused() -> None:
    chat = ChatFormat(tokenizer())
    called = Message("assistant", "", tool_calls=(ToolCall("f", {"a": "<|end|>"}),))
    for message in (Message("user", "<|end|>"), Message("assistant", "", reasoning="<|user|>"), called):
        with pytest.raises(DataError, match="message contains the control token"):
            chat.check_texts((message,))
    with pytest.raises(DataError, match="the definition of a tool contains the control token"):
        chat.check_texts(turns("What?"), [{"name": "<|end|>"}])
    chat.check_texts(turns("What < | end?"))


def test_sampled_text_has_no_control_tokens() -> None:
    chat = ChatFormat(tokenizer())
    spelled = chat.tokens("The <") + chat.tokens("|end|> sky")
    assert chat.text([token("<|user|>"), *spelled, token("<|end|>")]) == "The  sky"


def test_6400_control_tokens_cost_no_time() -> None:
    inner = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer().backend_tokenizer.from_str(tokenizer().backend_tokenizer.to_str()),
        eos_token="<|end|>",
    )
    inner.add_tokens([f"<|reserved_{i}|>" for i in range(6400)], special_tokens=True)
    inner.chat_template = CHAT
    chat = ChatFormat(inner)
    messages = turns(*["What is < this | and that > here? " * 20] * 4)
    chat.check_texts(messages)
    start = time.perf_counter()
    for _ in range(20):
        chat.check_texts(messages)
    assert (time.perf_counter() - start) / 20 < 0.005  # 171 ms when the set was built at each call
    with pytest.raises(DataError, match=r"<\|reserved_6399\|>"):
        chat.check_texts(turns("A <|reserved_6399|>"))


def test_calls_are_given_as_the_template_expects_them() -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("add", {"a": "two", "b": True}),))
    each = "{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    as_text = each + "{{ '' + c.function.arguments }}{% endfor %}"
    as_object = each + "{{ c.function.arguments | tojson }}{% endfor %}"
    printed = each + "{{ c.function.arguments }}{% endfor %}"
    without = "{% if m.content is none %}" + as_object + "{% endif %}"
    for calls in (as_text, as_object, printed, without):
        template = "{% for m in messages %}" + calls + "{{ m['content'] or '' }}<|end|>{% endfor %}"
        rendered = chat_format(template).render((*turns("What?"), call), generation_prompt=False)
        assert rendered == 'What?<|end|>add{"a": "two", "b": true}<|end|>'
        assert shows_calls((call,), rendered)
