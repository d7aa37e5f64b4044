"""Documents for pre-training: rows with `text`, conversations, or a single plain .txt file.

A conversation has `messages`, or `prompt` and `completion`.
"""

from pathlib import Path

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.parsing import parse_demonstration, read_messages
from fairlead.data.records import Messages
from fairlead.data.row_problem import RowLocation


def read_documents(path: Path) -> list[str | Messages]:
    """Read one document per row, as text or as messages; raises DataError at the first bad row."""
    if path.suffix == ".txt":
        return ["".join(text for _, text in jsonl.lines(path))]
    first = next(jsonl.read(path), None)
    if first is not None and isinstance(first[1], dict) and "text" in first[1]:
        return [_text(path, line, row) for line, row in jsonl.read(path)]
    return [_conversation(RowLocation(str(path), line), row) for line, row in jsonl.read(path)]


def _conversation(where: RowLocation, row: object) -> Messages:
    """The messages of a row.

    Any role may come last: pre-training reads a conversation without answering it.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where}: not an object. Write an object with `text` or with `messages`.")
    if "messages" in row:
        return read_messages(row["messages"], "messages", where)
    return parse_demonstration(row, where).messages


def _text(path: Path, line: int, row: object) -> str:
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"{path}:{line}: text: must be a string that is not empty. Fill it in or remove the row."
        )
    return text
