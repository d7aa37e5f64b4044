"""Counts in messages: `1 row`, `3 rows`, `12,000 people`; verbs that agree with them; kinds of rows."""

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
