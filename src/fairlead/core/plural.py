"""Counts in messages: `1 row`, `3 rows`, `12,000 people`; verbs that agree with them; kinds of rows."""

from collections.abc import Mapping, Sequence

MAX_LISTED = 12

IRREGULAR = {
    "person": "people",
    "person's": "people's",
    "reply": "replies",
    "entry": "entries",
    "binary": "binary rows",
    "stepwise": "stepwise rows",
    "it": "they",
    "is": "are",
    "was": "were",
    "has": "have",
    "does": "do",
    "leaves": "leave",
    "repeats": "repeat",
    "contradicts": "contradict",
}


def plural(word: str) -> str:
    """The plural of a noun, or of a verb such as `is`; only the last word of a phrase changes."""
    start, space, last = word.rpartition(" ")
    if last in IRREGULAR:
        return f"{start}{space}{IRREGULAR[last]}"
    if last.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def counted(n: int, noun: str) -> str:
    """`counted(1, "row")` is "1 row"; `counted(1200, "row")` is "1,200 rows"."""
    return f"{n:,} {agreeing(n, noun)}"


def agreeing(n: int, word: str) -> str:
    """The noun or verb alone, for a sentence in which the number stands elsewhere: 1 row *was* left out."""
    return word if n == 1 else plural(word)


def listed(names: Sequence[str]) -> str:
    """`a, b, c`; of many names the first twelve and the number of the others."""
    more = len(names) - MAX_LISTED
    return f"{', '.join(names[:MAX_LISTED])} and {more:,} more" if more > 0 else ", ".join(names)


def left_out_text(left_out: Mapping[str, int]) -> str:
    """`3 rows too long, 1 tie`; reasons are in the plural, which is in their first word that ends with s."""
    return ", ".join(f"{n:,} {_singular(reason) if n == 1 else reason}" for reason, n in left_out.items())


def _singular(reason: str) -> str:
    """`rows too long` -> `row too long`, `held-out rows seen` -> `held-out row seen`"""
    words = reason.split(" ")
    noun = next((i for i, word in enumerate(words) if word.endswith("s")), 0)
    return " ".join([*words[:noun], words[noun].removesuffix("s"), *words[noun + 1 :]])
