"""Text and JSON from outside, as any database can hold them: no NUL, no half of a character, no number that JSON does not know."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

DEEPEST = 20  # lists and objects within each other


def _clean(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("has a character that is no text")
    return text


def _clean_json(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    if isinstance(value, str):
        _clean(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("has a number that is not finite")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _clean(name)
            _clean_json(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _clean_json(inner, depth + 1)
    return value


Text = Annotated[str, AfterValidator(_clean)]
Line = Annotated[Text, Field(max_length=200)]
Json = Annotated[dict[str, Any], AfterValidator(_clean_json)]
