"""The templates of `chat_templates` are what they claim, by transformers alone."""

import re
from typing import Any

import pytest
from jinja2 import TemplateError

from chat_templates import FOLDER, PUBLISHED, Published, generation_stops, tokenizer

MARK = re.compile(r"<[|｜][^<>]*?[|｜]>|</?(?:s|bos|eos)>|<(?:start|end)_of_turn>|\[/?INST\]|</?think>")
# Marks that these models write as plain text, which is several tokens.
WRITTEN_OUT = {"Zephyr", "StableLM Zephyr", "Tulu 3", "OLMo 2", "Mistral v1"}
WITHOUT_SYSTEM = {"Gemma 2"}
WITHOUT_END = {"Falcon", "MiniCPM", "GLM-4", "GLM-4.5"}

names = pytest.mark.parametrize("published", PUBLISHED, ids=[published.name for published in PUBLISHED])


def turns(*texts: str, system: str | None = None) -> list[dict[str, Any]]:
    before = [] if system is None else [{"role": "system", "content": system}]
    return before + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def rendered(published: Published, messages: list[dict[str, Any]], *, prompt: bool) -> str:
    text = tokenizer(published).apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    assert isinstance(text, str)
    return text


def test_at_least_25_templates_are_tried_and_every_file_is_used() -> None:
    assert len({published.template for published in PUBLISHED}) >= 25
    assert len({published.name for published in PUBLISHED}) == len(PUBLISHED)
    assert {path.stem for path in FOLDER.glob("*.jinja")} == {published.file for published in PUBLISHED}


@names
def test_a_finished_conversation_holds_its_turns_in_order(published: Published) -> None:
    text = rendered(published, turns("zebra?", "yonder.", "walnut?", "violet."), prompt=False)
    assert re.search(r"zebra\?.*yonder\..*walnut\?.*violet\.", text, flags=re.DOTALL)


@names
def test_a_prompt_ends_with_the_question_and_an_opening(published: Published) -> None:
    text = rendered(published, turns("zebra?", "yonder.", "walnut?"), prompt=True)
    assert re.search(r"zebra\?.*yonder\..*walnut\?", text, flags=re.DOTALL)
    assert not text.endswith("walnut?")  # something ends the question or opens the answer


@names
def test_the_system_message_is_in_the_prompt_or_refused(published: Published) -> None:
    messages = turns("zebra?", "yonder.", "walnut?", system="Be brief.")
    if published.name in WITHOUT_SYSTEM:
        with pytest.raises(TemplateError):
            rendered(published, messages, prompt=True)
    else:
        assert rendered(published, messages, prompt=True).count("Be brief.") == 1


@names
def test_marks_are_single_tokens_in_both_tokenizers(published: Published) -> None:
    text = rendered(published, turns("zebra?", "yonder.", "walnut?", "violet."), prompt=False)
    marks = set(MARK.findall(text))
    for base in (False, True):
        tokens = tokenizer(published, base=base)
        whole = {mark for mark in marks if len(tokens(mark, add_special_tokens=False)["input_ids"]) == 1}
        if published.name not in WRITTEN_OUT:
            assert marks - whole == set()


@names
def test_tokens_spell_the_text(published: Published) -> None:
    text = rendered(published, turns("zebra?", "a  b\n\n", "c\tü 😀", "violet."), prompt=False)
    tokens = tokenizer(published)
    spelled = tokens.decode(tokens(text, add_special_tokens=False)["input_ids"])
    assert isinstance(spelled, str)
    assert "".join(spelled.split()) == "".join(text.split())


@names
def test_an_answer_is_followed_by_a_token_at_which_sampling_stops(published: Published) -> None:
    """But for the models whose answers end with nothing, or with the role of the next turn."""
    text = rendered(published, turns("zebra?", "violet."), prompt=False)
    tokens = tokenizer(published)
    after = tokens(text, add_special_tokens=False)["input_ids"]
    last = max(i for i, token in enumerate(after) if "." in tokens.decode([token]))
    stops = generation_stops(published, tokens)
    assert bool(stops & set(after[last + 1 :])) != (published.name in WITHOUT_END)
