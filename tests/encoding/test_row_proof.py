from dataclasses import replace

import pytest

from fairlead.core.errors import DataError
from fairlead.data.records import Comparison, Message, ToolCall
from fairlead.encoding.chat import Encoded, encode_prompt, encode_rows
from fairlead.encoding.row_proof import check_sides, missing_lines, missing_words
from fakes import assistant, chat_format, turns, user

TURN = "<|{{ m['role'] }}|>%s<|end|>"
TOOLS = ({"type": "function", "function": {"name": "weather", "parameters": {}}},)


def template(content: str, before: str = "") -> str:
    return (
        before + "{% for m in messages %}" + TURN % content + "{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )


def test_lines_stand_in_their_order() -> None:
    assert missing_lines("a b\n\n  c\nb", "a b  c") == ["b"]
    assert missing_lines("\n \n", "") == []
    assert missing_words("One, two!", "two three") == ["One"]


def test_an_answer_that_the_template_changes_is_refused() -> None:
    chat = chat_format(template("{{ m['content'].split('</think>')[-1] }}"))
    with pytest.raises(DataError, match=r"leaves 'so' of the answer out.*answer without reasoning"):
        encode_rows(chat, (user("What?"), assistant("<think>so</think>Yes.")))
    assert len(encode_rows(chat, (user("What?"), assistant("Yes.")))) == 1


def test_reasoning_that_the_template_does_not_know_is_refused() -> None:
    chat = chat_format()
    with pytest.raises(
        DataError, match=r"It knows no reasoning_content. Write the reasoning into the content"
    ):
        encode_rows(chat, (user("What?"), replace(assistant("Yes."), reasoning="so")))


def test_a_system_message_that_the_template_drops_is_refused() -> None:
    chat = chat_format(template("{{ m['content'] if m['role'] != 'system' }}"))
    messages = (Message("system", "Be brief."), user("What?"), assistant("Yes."))
    for call in (lambda: encode_rows(chat, messages), lambda: encode_prompt(chat, messages[:2])):
        with pytest.raises(DataError, match=r"the system message 'Be brief.' out.*template.fold_system=true"):
            call()


def test_a_switch_that_the_template_obeys_may_be_removed() -> None:
    chat = chat_format(template("{{ m['content'].replace('/no_think', '') }}"))
    for message in (Message("system", "/no_think"), Message("system", "Be brief. /no_think")):
        assert len(encode_rows(chat, (message, user("What? /no_think"), assistant("Yes.")))) == 1
    with pytest.raises(DataError, match="leaves the system message"):
        encode_rows(
            chat_format(template("{{ m['content'].replace('brief', '') }}")),
            (Message("system", "Be brief."), user("What?"), assistant("Yes.")),
        )


def test_tools_their_calls_and_results_are_in_the_prompt() -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("weather", {"city": "Paris"}),))
    messages = (user("What?"), call, Message("tool", "22 degrees"), assistant("It is warm."))
    plain = chat_format()
    with pytest.raises(DataError, match="leaves 'weather' of the answer out"):
        encode_rows(plain, messages)
    with pytest.raises(DataError, match="leaves the call of the tool 'weather' out"):
        encode_rows(plain, messages, num_context=3)
    with pytest.raises(DataError, match="leaves the definition of the tool 'weather' out"):
        encode_prompt(plain, turns("What?"), tools=TOOLS)
    calls = "{{ m['content'] }}{{ m.tool_calls | tojson if m.tool_calls }}"
    drops = "{% if m.role == 'tool' %}{% else %}" + calls + "{% endif %}"
    with pytest.raises(DataError, match="leaves the tool message '22 degrees' out"):
        encode_rows(chat_format(template(drops)), messages)
    knows = chat_format(template(calls, before="{{ tools | tojson if tools }}"))
    [row] = encode_rows(knows, messages, tools=TOOLS)
    trained = [token for token, flag in zip(row.tokens, row.trained, strict=True) if flag]
    assert "22" not in knows.decode(trained) and "Paris" in knows.decode(trained)


def test_two_sides_that_became_one_are_refused() -> None:
    chat = chat_format()
    yes, no = (assistant("Yes."),), (assistant("No."),)
    one, other = [Encoded((1, 2), (False, True))], [Encoded((1, 3), (False, True))]
    check_sides(chat, Comparison(turns("What?"), yes, no), one, other)
    with pytest.raises(DataError, match="differ, but .* writes both as the same tokens"):
        check_sides(chat, Comparison(turns("What?"), yes, no), one, one)
    with pytest.raises(DataError, match="are the same. Remove the pair"):
        check_sides(chat, Comparison(turns("What?"), yes, yes), one, one)
