"""Documents to pre-train on: rows with `text`, conversations with `messages` (or `prompt` and `completion`), or one plain .txt file."""

from pathlib import Path

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.parsing import parse_demonstration, read_messages
from fairlead.data.records import Messages
from fairlead.data.row_problem import RowLocation


def read_documents(path: Path) -> list[str | Messages]:
    """One item per document, as text or as the messages of a conversation; raises DataError."""
    if path.suffix == ".txt":
        return ["".join(text for _, text in jsonl.lines(path))]
    first = next(jsonl.read(path), None)
    if first is not None and isinstance(first[1], dict) and "text" in first[1]:
        return [_text(path, number, row) for number, row in jsonl.read(path)]
    return [_conversation(RowLocation(str(path), number), row) for number, row in jsonl.read(path)]


def _conversation(where: RowLocation, row: object) -> Messages:
    """A conversation may end with either speaker: nothing is answered here, only read."""
    if not isinstance(row, dict):
        raise DataError(f"{where.path}:{where.line}: an object with `messages`, or with `text`, is expected.")
    if "messages" in row:
        return read_messages(row["messages"], "messages", where)
    return parse_demonstration(row, where).messages


def _text(path: Path, number: int, row: object) -> str:
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"{path}:{number}: text: a string that is not empty is expected. Remove the row, or give it text."
        )
    return text
