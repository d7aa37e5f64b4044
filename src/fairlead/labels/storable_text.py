"""Which texts and values both databases hold and give back unchanged: no NUL, no half of a surrogate pair, no NaN, no huge integer."""

import math
from typing import Any

from fairlead.labels.errors import Invalid

MAX_INTEGER = 2**63 - 1


def find_problem(value: Any) -> str | None:
    """What is wrong with a value as JSON has them, anywhere in it."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            if "\0" in one or not _is_unicode(one):
                return "has a character that is no text"
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            left += one
        elif isinstance(one, float):
            if not math.isfinite(one):
                return "has a number that is none, or is infinite"
        elif isinstance(one, int) and abs(one) > MAX_INTEGER:
            return "has a number that is too large"
    return None


def require(**fields: Any) -> None:
    """Raises Invalid for the fields that have a problem."""
    if problems := {name: why for name, value in fields.items() if (why := find_problem(value))}:
        raise Invalid(problems)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
