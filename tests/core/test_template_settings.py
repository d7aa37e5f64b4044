import pytest

from fairlead.core import config as configs
from fairlead.core.errors import ConfigError
from fairlead.core.template_settings import Template
from fairlead.recipes.sft import Config

WORDS = ["name=a", "model=base", "demonstrations=rows.jsonl"]


def read(*words: str) -> Template:
    return configs.load(Config, None, [*WORDS, *words]).template


def test_settings_are_read_from_words() -> None:
    settings = read(
        "template.file=chatml",
        'template.arguments={"enable_thinking": false, "n": [1]}',
        "template.stop_tokens=<|im_end|>",
        "template.date=2024-07-26",
        "template.fold_system=true",
    )
    assert settings.values == {"enable_thinking": False, "n": [1]}
    assert settings.stop_tokens == ("<|im_end|>",)
    assert (settings.file, settings.date, settings.fold_system) == ("chatml", "2024-07-26", True)
    assert read('template.stop_tokens=["a", "b"]').stop_tokens == ("a", "b")
    assert read().values == {}


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("template.arguments=enable_thinking=false", "must be a JSON object"),
        ("template.arguments=[1]", "must be a JSON object"),
        ('template.arguments={"messages": []}', "'messages' cannot be the name"),
        ('template.arguments={"a b": 1}', "'a b' cannot be the name"),
        ('template.stop_tokens=[""]', "must not contain an empty string"),
        ("template.date=26 July 2024", "must be a day, YYYY-MM-DD"),
        ("template.date=2024-02-30", "must be a day, YYYY-MM-DD"),
    ],
)
def test_a_setting_that_cannot_be_meant(word: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(word)
