"""Numbers with their nouns, in the grammar of English."""

IRREGULAR = {"person": "people", "person's": "people's"}


def count(number: int, noun: str) -> str:
    """Example: count(1, "binary row") is "1 binary row", count(3, "binary row") is "3 binary rows"."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of a noun, whose last word is changed."""
    before, space, last = noun.rpartition(" ")
    if last in IRREGULAR:
        return f"{before}{space}{IRREGULAR[last]}"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if last.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
