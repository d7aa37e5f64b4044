"""Sampled answers as rows: what `fairlead sample` writes and what judges read."""

from dataclasses import dataclass
from pathlib import Path

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.parsing import parse_row
from fairlead.data.records import Messages, Prompt
from fairlead.data.row_problem import RowLocation


@dataclass(frozen=True)
class SampledAnswers:
    """One prompt and the answers that a model gave to it."""

    prompt: Messages
    texts: tuple[str, ...]
    finished: tuple[bool, ...]  # False where the answer was cut off


def read_sampled_answers(path: Path) -> list[SampledAnswers]:
    """Rows `{"prompt": …, "completions": [[message], …], "finished": […]}`; raises DataError at the first bad row."""
    found = []
    for number, row in jsonl.read(path):
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: an object with prompt and completions is expected.")
        prompt = parse_row("prompt", {"prompt": row.get("prompt")}, RowLocation(str(path), number))
        assert isinstance(prompt, Prompt)
        completions, finished = row.get("completions"), row.get("finished")
        if (
            not isinstance(completions, list)
            or not isinstance(finished, list)
            or len(finished) != len(completions)
        ):
            raise DataError(
                f"{path}:{number}: completions and finished must be lists of one length. Write such files with `fairlead sample`."
            )
        found.append(
            SampledAnswers(
                prompt.prompt,
                tuple(_text(path, number, c) for c in completions),
                tuple(bool(f) for f in finished),
            )
        )
    if not found:
        raise DataError(f"{path}: holds no answers.")
    return found


def _text(path: Path, number: int, completion: object) -> str:
    """A sampled answer may be empty, which no answer written by people may."""
    last = completion[-1] if isinstance(completion, list) and completion else None
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(content, str):
        raise DataError(f"{path}:{number}: completions: each must be a list of messages with content.")
    return content
