"""A guess at the language of a text, from its script and its most frequent function words.

It tells the languages below apart in texts of a sentence or more.  It is no classifier: a short text without
any of these words has no language.
"""

import re
from collections.abc import Callable

from fairlead.core.errors import ConfigError
from fairlead.rollout.records import Answer

LEAST_SHARE = 0.5  # of the letters that must be in the language's script

# Frequent words that are rare in the other languages with Latin letters.
FUNCTION_WORDS = {
    "en": "the of and to is that it was for with you are this have not they from",
    "de": "der die das und ist nicht ein eine mit zu den von ich sie auf auch dass sich",
    "fr": "le les des et est une dans que pour pas sur qui avec ce vous nous il au",
    "es": "el los las y es una que por con para del se lo como pero su al muy",
    "it": "il di che e gli una per non con sono della si nel anche come questo",
    "pt": "o os as e uma que não com para do da em por mais como mas dos",
    "nl": "de het een en van ik dat niet is op te zijn met voor er aan",
}
SCRIPTS = {
    "ru": r"[\u0400-\u04ff]",
    "el": r"[\u0370-\u03ff]",
    "he": r"[\u0590-\u05ff]",
    "ar": r"[\u0600-\u06ff]",
    "hi": r"[\u0900-\u097f]",
    "th": r"[\u0e00-\u0e7f]",
    "ja": r"[\u3040-\u30ff]",
    "ko": r"[\uac00-\ud7af]",
    "zh": r"[\u4e00-\u9fff]",
}
LANGUAGES = (*FUNCTION_WORDS, *SCRIPTS)
KANA_SHARE = 0.05  # of the letters of a Japanese text, beside Chinese characters


def language_of(text: str) -> str:
    """The code of the language, or an empty string."""
    letters = re.findall(r"[^\W\d_]", text)
    if not letters:
        return ""
    shares = {code: len(re.findall(script, text)) / len(letters) for code, script in SCRIPTS.items()}
    if shares["ja"] > KANA_SHARE and shares["ja"] + shares["zh"] > LEAST_SHARE:
        return "ja"
    code = max(shares, key=lambda name: shares[name])
    if shares[code] > LEAST_SHARE:
        return code
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {name: sum(word in known.split() for word in words) for name, known in FUNCTION_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] > 0 and list(counts.values()).count(counts[best]) == 1 else ""


def language_rule(reference: str, code: str) -> Callable[[Answer], float]:
    """1 for answers in the language, else 0.  Raises ConfigError for an unknown language."""
    if code not in LANGUAGES:
        raise ConfigError(f"{reference}: no such language. Languages are {', '.join(LANGUAGES)}.")
    return lambda answer: float(language_of(answer.text) == code)
