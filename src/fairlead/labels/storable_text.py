"""Check that SQLite and PostgreSQL both store a text or JSON value unchanged.

NUL characters, unpaired surrogates, NaN, infinity and integers over 64 bits are rejected.
"""

import math
from typing import Any

from fairlead.labels.errors import Invalid

MAX_INTEGER = 2**63 - 1


def find_problem(value: Any) -> str | None:
    """Describe the first problem anywhere in a JSON value, or return None."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            if "\0" in part or not _is_unicode(part):
                return "contains a character that cannot be stored (NUL or half of a surrogate pair)"
        elif isinstance(part, dict):
            pending += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple):
            pending += part
        elif isinstance(part, float):
            if not math.isfinite(part):
                return "contains a number that is NaN or infinite"
        elif isinstance(part, int) and abs(part) > MAX_INTEGER:
            return "contains an integer that does not fit in 64 bits"
    return None


def require(**fields: Any) -> None:
    """Raise Invalid for every field whose value cannot be stored."""
    if problems := {name: problem for name, value in fields.items() if (problem := find_problem(value))}:
        raise Invalid(problems)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
