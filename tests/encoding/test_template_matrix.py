"""Every template holds every kind of conversation as it is sampled, or refuses it with a remedy."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from chat_templates import PUBLISHED, Kind, Published
from fairlead.core.template_settings import Template
from fairlead.data.records import Message
from template_matrix import CONVERSATIONS, PAGE, Conversation, assistant, outcome, render_page, user

# What these templates truly cannot hold, and the setting that a refusal has to name.  Everything else has to
# be right.
OPENS_REASONING = ("QwQ", "DeepSeek-R1", "OLMo 3 Think", "Nemotron 3", "Nemotron Nano 2")
WITHOUT_END = ("Falcon", "MiniCPM")
WITHOUT_SYSTEM = ("Gemma 2",)
NEEDS_A_SWITCH = ("Qwen3.5 small", "DeepSeek-V3.1")  # to reason
WITH_REASONING = (
    *("Qwen3", "Qwen3 Thinking 2507", "Qwen3.5", "QwQ", "gpt-oss", "DeepSeek-R1", "OLMo 3 Think"),
    *("Nemotron 3", "Nemotron Nano 2", "GLM-4.5"),
)
WITH_TOOLS = (
    *("Qwen2.5", "Qwen3", "Qwen3 Instruct 2507", "Qwen3 Thinking 2507", "Qwen3.5", "Qwen3.5 small"),
    *("Llama 3.1", "Llama 3.2", "Llama 4", "Gemma 4", "Mistral v3", "Mistral Nemo", "Mistral Small 3.1"),
    *(
        "Phi-4-mini",
        "gpt-oss",
        "DeepSeek-V3",
        "DeepSeek-V3.1",
        "Granite 4",
        "Command R7B",
        "GLM-4",
        "GLM-4.5",
    ),
)


def wanted_refusal(published: Published, column: str) -> str | None:
    """The setting that the refusal has to name; None if the cell has to be right."""
    name = published.name
    if name in WITHOUT_END:
        return "file"
    if name in WITHOUT_SYSTEM and column in ("system", "empty turn"):
        return "fold_system"
    if column == "thinking" and name in NEEDS_A_SWITCH:
        return "arguments"
    if column == "thinking" and name not in WITH_REASONING:
        return "file"
    if column == "tools" and name not in WITH_TOOLS:
        return "file"
    if name in OPENS_REASONING and column != "thinking":
        return "file"
    return None


@pytest.mark.parametrize("published", PUBLISHED, ids=[published.name for published in PUBLISHED])
def test_a_template_is_right_wherever_it_can_be(published: Published) -> None:
    for column, conversation in CONVERSATIONS.items():
        cell = outcome(published, conversation)  # raises if a row is wrong or a refusal has no remedy
        wanted = wanted_refusal(published, column)
        if wanted is None:
            assert not cell.refusal, f"{column}: {cell.refusal}"
        else:
            assert f"template.{wanted}" in cell.refusal, f"{column}: {cell}"


@pytest.mark.parametrize("published", PUBLISHED, ids=[published.name for published in PUBLISHED])
def test_a_remedy_that_a_refusal_names_works(published: Published) -> None:
    for column, conversation in CONVERSATIONS.items():
        refusal = outcome(published, conversation).refusal
        if "template.fold_system=true" in refusal:
            assert outcome(published, conversation, Template(fold_system=True)).rows, column
        if arguments := re.search(r"template\.arguments='(.*?)'", refusal):
            assert outcome(published, conversation, Template(arguments=arguments[1])).rows, column
        if "<think>…</think>" in refusal or "ended by </think>" in refusal:
            reasoned = replace(conversation, messages=tuple(map(with_reasoning, conversation.messages)))
            again = outcome(published, reasoned)
            # Models that reason need not know tools.
            assert again.rows or (column == "tools" and "get_weather" in again.refusal), again.refusal


def with_reasoning(message: Message) -> Message:
    """An answer with its reasoning in the content."""
    if message.role != "assistant":
        return message
    reasoning = message.reasoning or "Reasons abound."
    return replace(message, content=f"<think>\n{reasoning}\n</think>\n\n{message.content}", reasoning=None)


def test_an_answer_may_begin_with_what_the_prompt_ends_with() -> None:
    """A token of the whole text spans the border, and the answer alone would get a space in front."""
    messages = (user("Which fruits are purple?"), assistant("\n\nPlums and elderberries."))
    for kind in get_args(Kind):
        for name in ("InternLM2", "StableLM Zephyr", "Llama 3"):
            assert outcome(template(name), Conversation(messages=messages, kind=kind)).rows == 1, (name, kind)


def test_a_stop_token_may_decode_to_another_text() -> None:
    """The end of DeepSeek's turns has the letter with which some tokenizers mark a space."""
    conversation = replace(CONVERSATIONS["multi-turn"], kind="sentence pieces, legacy")
    assert outcome(template("DeepSeek-V3"), conversation).rows == 1


def test_a_role_token_ends_a_turn_that_nothing_else_ends() -> None:
    """Also without a generation config that says so."""
    for column in ("single", "multi-turn", "base tokenizer"):
        assert outcome(template("GLM-4"), CONVERSATIONS[column]).rows == 1, column


def template(name: str) -> Published:
    [published] = [published for published in PUBLISHED if published.name == name]
    return published


def test_the_page_of_the_docs_is_what_was_found() -> None:
    assert Path(PAGE).read_text(encoding="utf-8") == render_page(), "run python tests/template_matrix.py"
