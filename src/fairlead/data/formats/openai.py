"""OpenAI chat format: `messages`; or complete conversations in `chosen` and `rejected`.

Text parts of a message are joined, and the role `developer` is read as `system`.  Images, tools and weights
of single messages are refused, because ignoring them would change what is trained.
"""

from collections.abc import Mapping
from typing import Any

from fairlead.data.formats.pair import compare_conversations
from fairlead.data.parsing import parse_demonstration, read_messages, required_column
from fairlead.data.records import Comparison, Demonstration, Messages
from fairlead.data.row_problem import RowLocation

COLUMNS = frozenset({"messages", "prompt", "chosen", "rejected"})


def recognises(row: Mapping[str, Any]) -> bool:
    if isinstance(row.get("messages"), list):
        return True
    return (
        isinstance(row.get("chosen"), list)
        and isinstance(row.get("rejected"), list)
        and not isinstance(row.get("prompt"), list)
    )


def convert(row: Mapping[str, Any], where: RowLocation) -> Demonstration | Comparison:
    if row.get("chosen") is not None or row.get("rejected") is not None:
        return compare_conversations(
            _conversation(row, "chosen", where), _conversation(row, "rejected", where), {}, where
        )
    return parse_demonstration({"messages": _simplified(required_column(row, "messages", where))}, where)


def _conversation(row: Mapping[str, Any], column: str, where: RowLocation) -> Messages:
    return read_messages(_simplified(required_column(row, column, where)), column, where)


def _simplified(value: object) -> object:
    return [_simplified_message(item) for item in value] if isinstance(value, list) else value


def _simplified_message(value: object) -> object:
    """The message with a string as content and a known role.

    Other values are left for validation to report.
    """
    if not isinstance(value, dict):
        return value
    simple = dict(value)
    if simple.get("role") == "developer":
        simple["role"] = "system"
    parts = simple.get("content")
    if isinstance(parts, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts
    ):
        simple["content"] = "".join(part["text"] for part in parts)
    return simple
