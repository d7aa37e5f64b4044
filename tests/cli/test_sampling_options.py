import pytest

from fairlead.cli.sampling_options import read_template
from fairlead.core.errors import ConfigError
from fairlead.core.template_settings import OWN_TEMPLATE


def test_template_settings_are_words_of_a_command() -> None:
    assert read_template(None) == OWN_TEMPLATE
    assert read_template(["template.file=plain", "template.fold_system=true"]).file == "plain"


@pytest.mark.parametrize("word", ["template.files=plain", "lr=1", "plain"])
def test_another_word_is_an_error(word: str) -> None:
    with pytest.raises(ConfigError):
        read_template([word])
