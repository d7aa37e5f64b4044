"""Files of sampled answers: rows that are read, and errors with file and line."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.records import Message, Prompt
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers

PROMPT = [{"role": "user", "content": "2 + 2?"}]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def row(**changes: Any) -> dict[str, Any]:
    return {"prompt": PROMPT, "completions": [answer("4"), answer("")], "finished": [True, False]} | changes


def test_rows_are_read_in_order_and_answers_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    jsonl.write(path, [row(), row(completions=[answer("Five.")], finished=[True])])
    prompt = (Message("user", "2 + 2?"),)
    assert read_sampled_answers(path) == [
        SampledAnswers(prompt, ("4", ""), (True, False)),
        SampledAnswers(prompt, ("Five.",), (True,)),
    ]


def test_the_columns_of_the_prompt_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    jsonl.write(path, [row(id="7", reference="4", metadata={"source": "a"}), row()])
    with_columns, plain = read_sampled_answers(path)
    prompt = (Message("user", "2 + 2?"),)
    assert with_columns.prompt_record == Prompt(prompt, "4", id="7", metadata={"source": "a"})
    assert plain.prompt_record == SampledAnswers(prompt, (), ()).prompt_record == Prompt(prompt)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([1], "not an object with prompt and completions"),
        (row(prompt=[]), "prompt: "),
        (row(finished=[True]), "completions and finished must be lists of the same length"),
        (row(completions="4"), "completions and finished must be lists of the same length"),
        (row(completions=[answer("4"), []]), "completions: each must be a list of messages with content"),
        (row(completions=[answer("4"), ["5"]]), "completions: each must be a list of messages with content"),
    ],
)
def test_a_bad_row_is_reported_with_its_line(tmp_path: Path, bad: object, message: str) -> None:
    path = tmp_path / "answers.jsonl"
    jsonl.write(path, [row(), bad])
    with pytest.raises(DataError, match=f"answers.jsonl:2: {message}"):
        read_sampled_answers(path)


def test_a_file_without_answers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("")
    with pytest.raises(DataError, match="answers.jsonl: holds no answers"):
        read_sampled_answers(path)
