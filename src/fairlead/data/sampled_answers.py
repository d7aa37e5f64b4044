"""Files of sampled answers: written by `fairlead sample`, read by judges and by the toy world's raters.

Writing such files is the job of `recipes/sample.py`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.parsing import parse_row
from fairlead.data.records import Messages, Prompt
from fairlead.data.row_problem import RowLocation


@dataclass(frozen=True)
class SampledAnswers:
    """One prompt and the answers that a model sampled for it."""

    prompt: Messages
    texts: tuple[str, ...]
    finished: tuple[bool, ...]  # false if the answer was cut off at the token limit
    record: Prompt | None = field(default=None, compare=False)  # the whole row of the prompt, if known

    @property
    def prompt_record(self) -> Prompt:
        return self.record or Prompt(self.prompt)


def read_sampled_answers(path: Path) -> list[SampledAnswers]:
    """Read rows `{"prompt": …, "completions": [[message], …], "finished": […]}`.

    Raises DataError at the first bad row.
    """
    rows = [_parse_row(path, line, row) for line, row in jsonl.read(path)]
    if not rows:
        raise DataError(f"{path}: holds no answers. Write such files with `fairlead sample`.")
    return rows


def _parse_row(path: Path, line: int, row: object) -> SampledAnswers:
    if not isinstance(row, dict):
        raise DataError(f"{path}:{line}: not an object with prompt and completions.")
    prompt = parse_row("prompt", row, RowLocation(str(path), line))
    assert isinstance(prompt, Prompt)
    completions = row.get("completions")
    finished = row.get("finished")
    if (
        not isinstance(completions, list)
        or not isinstance(finished, list)
        or len(finished) != len(completions)
    ):
        raise DataError(
            f"{path}:{line}: completions and finished must be lists of the same length. "
            "Write such files with `fairlead sample`."
        )
    return SampledAnswers(
        prompt.prompt,
        tuple(_answer_text(path, line, completion) for completion in completions),
        tuple(bool(value) for value in finished),
        prompt,
    )


def _answer_text(path: Path, line: int, completion: object) -> str:
    """Text of a sampled answer, which may be empty, unlike an answer written by a person."""
    last = completion[-1] if isinstance(completion, list) and completion else None
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(content, str):
        raise DataError(f"{path}:{line}: completions: each must be a list of messages with content.")
    return content
