"""Texts and turns of the sample rows."""

from typing import Any

Row = dict[str, Any]

QUESTION = "How long does an egg boil?"
GOOD = "Seven minutes for a firm yolk."
BAD = "About an hour or two."


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}
