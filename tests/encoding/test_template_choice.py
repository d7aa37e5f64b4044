import copy
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from chat_templates import PUBLISHED
from chat_templates import tokenizer as published_tokenizer
from fairlead.core.errors import ConfigError, ModelError
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.records import Message
from fairlead.encoding.built_in_templates import BUILT_IN
from fairlead.encoding.chat import encode_prompt, encode_rows
from fairlead.encoding.chat_format import ChatFormat
from fairlead.encoding.template_choice import FIXED_DAY, choose_template, fitting_built_ins
from fakes import tokenizer, turns

CHAT = "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"
SYSTEM = Message("system", "Be brief.")


def without_template() -> PreTrainedTokenizerFast:
    bare = copy.deepcopy(tokenizer())
    bare.chat_template = None
    return bare


def with_template(template: Any) -> PreTrainedTokenizerFast:
    changed = copy.deepcopy(tokenizer())
    changed.chat_template = template
    return changed


def text(chat: ChatFormat, *contents: str, system: bool = False) -> str:
    messages = (SYSTEM, *turns(*contents)) if system else turns(*contents)
    return chat.render(messages, generation_prompt=len(contents) % 2 == 1)


def test_a_tokenizer_without_template_is_refused_and_the_choices_are_named() -> None:
    with pytest.raises(ModelError, match=r"base: .*no chat template.*template.file=mistral\|zephyr\|plain"):
        choose_template(without_template(), OWN_TEMPLATE, "base")


def test_a_built_in_template_is_chosen_by_name() -> None:
    chat = ChatFormat(without_template(), Template(file="plain"))
    assert text(chat, "What?", "The sky.") == "User: What?\n\nAssistant: The sky.<|end|>"


def test_a_built_in_template_needs_its_tokens() -> None:
    with pytest.raises(ModelError, match=r"no token '<\|im_start\|>'.*fit it: mistral, zephyr, plain"):
        choose_template(without_template(), Template(file="chatml"), "base")
    qwen = published_tokenizer(next(p for p in PUBLISHED if p.name == "Qwen2.5"))
    assert "chatml" in fitting_built_ins(qwen) and "llama3" not in fitting_built_ins(qwen)


@pytest.mark.parametrize(
    ("family", "name"), [("Qwen2.5", "chatml"), ("Llama 3", "llama3"), ("Gemma 2", "gemma")]
)
def test_every_built_in_template_trains_answers_up_to_their_end(family: str, name: str) -> None:
    inner = published_tokenizer(next(p for p in PUBLISHED if p.name == family), base=True)
    for file in (name, "mistral", "zephyr", "plain"):
        chat = ChatFormat(inner, Template(file=file))
        rows = encode_rows(chat, (SYSTEM, *turns("zebra?", "yonder.", "walnut?", "violet.")))
        for row in rows:
            answers = [token for token, trained in zip(row.tokens, row.trained, strict=True) if trained]
            assert re.search(r"(yonder|violet)\.", chat.decode(answers)) and answers[-1] in chat.stop_ids
        assert "Be brief." in chat.decode(rows[0].tokens)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    path.write_text(CHAT)
    assert text(ChatFormat(without_template(), Template(file=str(path))), "A", "B") == "A<|end|>B<|end|>"
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ 1 }}"}')
    chosen = choose_template(without_template(), Template(file=f"{tmp_path}/tokenizer_config.json"), "m")
    assert chosen.text == "{{ 1 }}"


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        (
            "pointer.jinja",
            "version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer.*git lfs pull",
        ),
        ("page.jinja", "\n<!DOCTYPE html><html></html>", "is a web page.*Download the file itself"),
        ("nothing.jinja", "", "is empty. Download or copy"),
        ("latin.jinja", b"caf\xe9", "is not text in UTF-8. Save it"),
        (".", None, "is a folder. Name the .jinja file"),
        ("absent.jinja", None, "no such file, and no built-in template"),
        ("empty.jinja", " ", "holds no chat template"),
        ("broken.jinja", "{% for %}", "is not valid Jinja"),
        ("config.json", "{}", "holds no chat_template"),
    ],
)
def test_a_file_that_is_no_template(tmp_path: Path, file: str, content: str | bytes | None, why: str) -> None:
    path = tmp_path / file
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=f"^template.file={path}: {why}|^the chat template .*{why}"):
        choose_template(without_template(), Template(file=str(path)), "m")


def test_one_of_several_templates_is_chosen_by_name() -> None:
    several = with_template({"chat": CHAT, "rag": "{{ 2 }}"})
    with pytest.raises(ModelError, match="Choose one: template.file=chat or template.file=rag"):
        choose_template(several, OWN_TEMPLATE, "m")
    assert choose_template(several, Template(file="rag"), "m").text == "{{ 2 }}"
    assert choose_template(with_template({"default": CHAT, "rag": "x"}), OWN_TEMPLATE, "m").text == CHAT


def test_arguments_reach_the_template_and_unknown_ones_are_errors() -> None:
    inner = with_template("{% if not loud is defined %}quiet{% elif loud %}LOUD{% endif %}" + CHAT)
    assert text(ChatFormat(inner), "A", "B").startswith("quiet")
    assert text(ChatFormat(inner, Template(arguments='{"loud": true}')), "A", "B").startswith("LOUD")
    with pytest.raises(ConfigError, match="does not read 'laud'. It reads loud."):
        ChatFormat(inner, Template(arguments='{"laud": true}'))


def test_values_of_arguments_keep_their_meaning() -> None:
    inner = with_template("{{ x }}|" + CHAT)
    for value, shown in (
        ("\"a\\n{{ 1 }}#} 'b'\"", "a\n{{ 1 }}#} 'b'"),
        ("null", "None"),
        ("[1, {}]", "[1, {}]"),
    ):
        chat = ChatFormat(inner, Template(arguments=f'{{"x": {value}}}'))
        assert text(chat, "A", "B") == f"{shown}|A<|end|>B<|end|>"


def test_the_clock_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = with_template("{{ strftime_now('%d %b %Y, %A %-d %F') }}|" + CHAT)
    chat = ChatFormat(inner)
    assert FIXED_DAY == "2025-01-01" and chat.note is not None and "template.date" in chat.note
    assert text(chat, "A") == "01 Jan 2025, Wednesday 1 2025-01-01|A<|end|>"
    dated = ChatFormat(inner, Template(date="2024-07-26"))
    assert dated.note is None
    assert text(dated, "A") == "26 Jul 2024, Friday 26 2024-07-26|A<|end|>"

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Tomorrow":
            return cls(2030, 1, 1)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Tomorrow)
    assert text(ChatFormat(inner), "A") == text(chat, "A")


def test_a_template_that_draws_at_random_is_refused() -> None:
    for draw in ("[1, 2] | random", "lipsum(1)"):
        with pytest.raises(ModelError, match="draws at random.*template.file"):
            choose_template(with_template(f"{{{{ {draw} }}}}" + CHAT), OWN_TEMPLATE, "m")


def test_the_system_message_can_open_the_first_user_turn() -> None:
    inner = with_template(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system') }}{% endif %}" + CHAT
    )
    chat = ChatFormat(inner, Template(fold_system=True))
    assert text(chat, "What?", "The sky.", system=True) == "Be brief.\n\nWhat?<|end|>The sky.<|end|>"
    assert text(chat, "What?", "The sky.") == "What?<|end|>The sky.<|end|>"
    assert text(chat, "What?", system=True) == "Be brief.\n\nWhat?<|end|>"


def test_settings_are_saved_in_the_template(tmp_path: Path) -> None:
    inner = with_template("  {{ strftime_now('%d') }} {{ x }} " + CHAT)
    settings = Template(
        arguments='{"x": "#}"}', date="2024-07-26", fold_system=True, stop_tokens=("<|user|>",)
    )
    chat = ChatFormat(inner, settings)
    chat.save(tmp_path)
    saved = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    again = ChatFormat(saved)
    assert again.stop_ids == chat.stop_ids and saved.convert_tokens_to_ids("<|user|>") in chat.stop_ids
    assert again.note is None
    messages = (SYSTEM, *turns("What?", "The sky."))
    rendered = again.render(messages, generation_prompt=False)
    assert rendered == chat.render(messages, generation_prompt=False)
    assert rendered == "  26 #} Be brief.\n\nWhat?<|end|>The sky.<|end|>"
    rows = [{"role": message.role, "content": message.content} for message in messages]
    assert saved.apply_chat_template(rows, tokenize=False) == rendered  # as another program reads it
    later = ChatFormat(saved, Template(arguments='{"x": 7}'))
    assert later.render(messages, generation_prompt=False).startswith("  26 7 Be brief.")
    assert encode_prompt(again, messages[:2]) == encode_prompt(chat, messages[:2])


def test_a_forged_first_line_is_part_of_the_template() -> None:
    for forged in ('{"date": "2024"}', "[]", "no JSON", '{"arguments": 1, "stop_tokens": 2}'):
        template = f"{{#- fairlead {forged} -#}}{{# end of the settings #}}\n{CHAT}"
        assert choose_template(with_template(template), OWN_TEMPLATE, "m").text == template


def test_templates_of_this_repository_are_their_files() -> None:
    assert BUILT_IN["plain"].text.startswith("{% if bos_token %}")
    assert not any(built_in.text.endswith("\n") for built_in in BUILT_IN.values())
