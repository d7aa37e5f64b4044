"""A guess at the language of a text."""

import pytest

from fairlead.core.errors import ConfigError
from fairlead.rollout.language import language_of, language_rule


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The cat is on the table and it was not happy."),
        ("de", "Der Hund ist nicht auf dem Tisch und die Katze auch."),
        ("fr", "Le chat est sur la table et il dort."),
        ("es", "El gato está en la mesa y no quiere comer."),
        ("it", "Il gatto è sulla tavola e non dorme."),
        ("pt", "O gato está na mesa e não quer comer, mas dorme."),
        ("nl", "De kat is op de tafel en het slaapt niet."),
        ("ru", "Привет, как дела?"),
        ("ja", "これは日本語です。"),
        ("zh", "这是中文。"),
        ("ko", "안녕하세요"),
        ("", "12345"),
        ("", ""),
    ],
)
def test_a_sentence_has_a_language(code: str, text: str) -> None:
    assert language_of(text) == code


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="rule:language=xx: no such language. Languages are en, de"):
        language_rule("rule:language=xx", "xx")
