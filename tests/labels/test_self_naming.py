"""Answers that name their own model."""

import time

import pytest

from fairlead.data.records import Message, Messages
from fairlead.labels import item_search, items, self_naming
from fairlead.labels.database import Database
from fairlead.labels.item_search import ItemQuery
from fairlead.labels.items import CandidateAnswer, NewItem
from labels.build import LEAD, open_campaign


def answer(text: str, source: str | None = None) -> tuple[Messages, str | None]:
    return (Message("assistant", text),), source


@pytest.mark.parametrize(
    "text",
    [
        "As Qwen, I cannot browse the web.",
        "As Qwen2.5, I can help.",
        "Hello! I'm Claude, an AI assistant made by Anthropic.",
        "I am ChatGPT.",
        "I\u2019m an AI assistant created by OpenAI, so I cannot taste food.",
        "As an AI language model developed by Google, I do not have feelings.",
        "As a large language model trained by OpenAI, I think so.",
        "My name is Llama 3, nice to meet you.",
        "I was trained by Mistral AI.",
        "Anthropic created me to be helpful.",
        "Sure. You can call me Gemini!",
        "Ich bin Gemini, ein Sprachmodell.",
        "我是通义千问，由阿里云开发。",
        "我叫DeepSeek。",
        "Line one.\n\nI am DeepSeek-V3.",
    ],
)
def test_an_answer_that_speaks_of_itself_by_name_is_marked(text: str) -> None:
    assert self_naming.find([answer("Nothing of the kind."), answer(text)]) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Qwen is a family of models by Alibaba.",
        "OpenAI released ChatGPT in 2022; Google followed with Bard.",
        "As Google grew, it bought YouTube.",
        "I am an AI assistant, so I cannot taste food.",
        "The llama is a domesticated animal. As llama wool is warm, it is used for hats.",
        "I am pi years old, he joked. This is gemini season, and the falcon is fast.",
        "As a model citizen, Claude Monet painted in his garden.",
        "I am made of stars.",
        "This is Google's page about search.",
        "I was created by my parents.",
        "I am Mistralian by birth.",
    ],
)
def test_an_answer_about_models_or_other_things_is_not_marked(text: str) -> None:
    assert self_naming.find([answer(text)]) is None


def test_the_name_of_the_answers_source_counts() -> None:
    hit = self_naming.find([answer("As Foobar-2, I help.", "acme/Foobar-2-7B-instruct"), answer("Yes.")])
    assert hit == "answer 1: \u201cAs Foobar-2\u201d"
    assert self_naming.find([answer("As Foobar-2, I help.", "acme/other")]) is None
    assert self_naming.find([answer("As a rule.", "a")]) is None


def test_long_answers_take_no_time() -> None:
    texts = ["as " * 130_000, "I am a " * 57_000, "as an AI " * 44_000, "我是" * 200_000]
    began = time.perf_counter()
    for text in texts:
        assert self_naming.find([answer(text)]) is None
    assert time.perf_counter() - began < 2.0


def test_marked_items_are_listed(database: Database) -> None:
    rows = [
        NewItem((Message("user", f"{n}?"),), tuple(CandidateAnswer(*answer(each)) for each in (text, "No.")))
        for n, text in enumerate(["As Qwen, I agree.", "Yes."])
    ]
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=0)
        items.add(connection, campaign, rows, by=LEAD)
        [summary] = item_search.search(connection, campaign.id, ItemQuery(state="reveals"))
        assert summary.item.reveals == "answer 1: \u201cAs Qwen\u201d"
