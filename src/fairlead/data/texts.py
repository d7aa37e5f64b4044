"""Documents to pre-train on: rows with `text`, conversations with `messages` (or `prompt` and `completion`), or one plain .txt file."""

from pathlib import Path

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.reading import read_demonstrations
from fairlead.data.records import Messages


def read_documents(path: Path) -> list[str | Messages]:
    """One item per document, as text or as the messages of a conversation; raises DataError."""
    if path.suffix == ".txt":
        return ["".join(text for _, text in jsonl.lines(path))]
    first = next(jsonl.read(path), None)
    if first is not None and isinstance(first[1], dict) and "text" in first[1]:
        return [_text(path, number, row) for number, row in jsonl.read(path)]
    return [demonstration.messages for demonstration in read_demonstrations(path)]


def _text(path: Path, number: int, row: object) -> str:
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{path}:{number}: text: a string that is not empty is expected. Remove the row, or give it text.")
    return text
