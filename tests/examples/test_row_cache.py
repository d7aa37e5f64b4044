"""Cached rows equal fresh ones, are read again, and depend on everything that changes them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.records import Comparison, Demonstration, Prompt, Record
from fairlead.encoding.encoders import PolicyEncoder
from fairlead.encoding.record_rows import encode_demonstration, encode_pair, encode_response
from fairlead.examples import row_cache
from fairlead.examples.pairs import fit_records
from fairlead.examples.prompts import fit_prompts
from fairlead.examples.too_long import FittedRecords
from fairlead.model.policy import Policy
from fairlead.store.project import create_project, load_project
from fairlead.store.run import open_run
from fairlead.train.settings import LongRows, Template
from fakes import CONTEXT, assistant, policy, turns, user


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 0


RECORDS = [
    Demonstration((user(f"What is {i} plus {i}?"),), (assistant(f"It is {2 * i}."),)) for i in range(6)
]
RECORDS.append(Demonstration((), turns("One?", "Yes.", "Two?", "No.")))
LONG = Demonstration((user("word " * 300),), (assistant("So."),))
PAIRS = [Comparison((user(f"{i}?"),), (assistant("Yes."),), (assistant("No."),)) for i in range(3)]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(autouse=True)
def caches_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "SMALLEST_FILE", 1)


class Counted:
    """An encoder's function that counts its calls."""

    def __init__(self, encode: Callable[..., Any]) -> None:
        self.encode = encode
        self.calls = 0
        self.__module__, self.__qualname__ = encode.__module__, encode.__qualname__

    def __call__(self, encoder: PolicyEncoder, record: Any, max_tokens: int | None) -> Any:
        self.calls += 1
        return self.encode(encoder, record, max_tokens)


def fitted(
    root: Path,
    writer: Policy,
    records: Sequence[Record],
    *,
    encode: Callable[..., Any] = encode_demonstration,
    limit: int = CONTEXT,
    choice: LongRows = "error",
) -> tuple[FittedRecords[Any, Any], int]:
    """The rows, and how many records were encoded; checks that the rows equal fresh ones."""
    project = load_project(root) if (root / "fairlead.toml").exists() else create_project(root)
    counted = Counted(encode)
    with open_run(project, "sft", Config(), kind="model", quiet=True) as run:
        result = fit_records(writer, records, counted, limit, choice, source="rows", run=run)
        run.log(1, loss=1.0)
        events = [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "cache"]
        assert events[-1]["found"] == (counted.calls == 0)
    assert result == fit_records(writer, records, encode, limit, choice, source="rows", run=None)
    return result, counted.calls


def test_rows_are_encoded_once(tmp_path: Path, writer: Policy) -> None:
    first, calls = fitted(tmp_path, writer, RECORDS)
    assert calls == len(RECORDS)
    again, calls = fitted(tmp_path, writer, [replace(record) for record in RECORDS])
    assert (again, calls) == (first, 0)


def test_pairs_are_cached_too(tmp_path: Path, writer: Policy) -> None:
    assert fitted(tmp_path, writer, PAIRS, encode=encode_pair)[1] == 3
    assert fitted(tmp_path, writer, PAIRS, encode=encode_pair)[1] == 0


@pytest.mark.parametrize("choice", ["drop", "truncate-prompt", "truncate-answer"])
def test_long_records_are_treated_once(tmp_path: Path, writer: Policy, choice: LongRows) -> None:
    records = [RECORDS[0], LONG, RECORDS[1]]
    assert fitted(tmp_path, writer, records, choice=choice)[1] >= 3
    assert fitted(tmp_path, writer, records, choice=choice)[1] == 0


def test_a_refusal_is_not_cached(tmp_path: Path, writer: Policy) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match="Record 2: the conversation has"):
            fitted(tmp_path, writer, [RECORDS[0], LONG])


def test_other_records_another_limit_or_another_template_are_encoded_anew(
    tmp_path: Path, writer: Policy
) -> None:
    assert fitted(tmp_path, writer, RECORDS)[1]
    changed = [
        *RECORDS[:-1],
        replace(RECORDS[-1], prompt=RECORDS[-1].completion[:3], completion=turns("", "No.")[1:]),
    ]
    assert fitted(tmp_path, writer, changed)[1]
    assert fitted(tmp_path, writer, RECORDS, limit=CONTEXT - 1)[1]
    assert fitted(tmp_path, writer, RECORDS, choice="drop")[1]
    other = policy(tmp_path / "other", template=Template(file="plain"))
    assert fitted(tmp_path, other, RECORDS)[1]
    assert not fitted(tmp_path, writer, RECORDS)[1]


def test_another_way_of_encoding_is_encoded_anew(tmp_path: Path, writer: Policy) -> None:
    records = [record for record in RECORDS if record.prompt]
    assert fitted(tmp_path, writer, records)[1]
    assert fitted(tmp_path, writer, records, encode=encode_response)[1]


def test_prompts_are_encoded_once(tmp_path: Path, writer: Policy) -> None:
    records = [Prompt(record.prompt) for record in RECORDS[:3]]
    with open_run(create_project(tmp_path), "sft", Config(), kind="model", quiet=True) as run:
        first, again = (
            fit_prompts(writer, records, "error", max_new_tokens=8, source="p", run=run) for _ in range(2)
        )
        events = [row["found"] for _, row in jsonl.read(run.folder / "events.jsonl") if "found" in row]
    assert first == again and events == [False, True]


def test_a_small_file_is_not_cached(tmp_path: Path, writer: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "SMALLEST_FILE", 100)
    with open_run(create_project(tmp_path), "sft", Config(), kind="model", quiet=True) as run:
        fit_records(writer, RECORDS, encode_demonstration, CONTEXT, "error", source="rows", run=run)
        assert not run.project.cache.exists()
