"""Cached rows equal fresh ones, are read again, and depend on everything that changes them."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.records import Demonstration
from fairlead.encoding.chat import TooLong
from fairlead.examples.pairs import encode_demonstration
from fairlead.examples.row_cache import cached_encoder
from fairlead.model.policy import Policy
from fairlead.store.project import create_project, load_project
from fairlead.store.run import open_run
from fairlead.train.settings import Template
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
FAULTY = Demonstration((user("<|end|>"),), (assistant("So."),))


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy(tmp_path_factory.mktemp("policy"))


def was_cached(root: Path, writer: Policy, records: list[Demonstration], limit: int = CONTEXT) -> bool:
    """Whether the rows were in the cache; checks that they equal fresh rows."""
    project = load_project(root) if (root / "fairlead.toml").exists() else create_project(root)
    with open_run(project, "sft", Config(), kind="model", quiet=True) as run:
        encode = cached_encoder(run, writer, records, limit, smallest=1)
        for record in records:
            if record is LONG:
                with pytest.raises(TooLong):
                    encode(writer, record, limit)
            elif record is FAULTY:
                with pytest.raises(DataError, match="control token"):
                    encode(writer, record, limit)
            else:
                assert encode(writer, record, limit) == encode_demonstration(writer, record, limit)
        run.log(1, loss=1.0)
        events = [row for _, row in jsonl.read(run.folder / "events.jsonl") if row["event"] == "cache"]
    return bool(events[-1]["found"])


def test_rows_are_encoded_once(tmp_path: Path, writer: Policy) -> None:
    assert not was_cached(tmp_path, writer, RECORDS)
    assert was_cached(tmp_path, writer, [replace(record) for record in RECORDS])


def test_long_and_faulty_records_are_reported_as_without_a_cache(tmp_path: Path, writer: Policy) -> None:
    records = [RECORDS[0], LONG, FAULTY, RECORDS[1]]
    assert not was_cached(tmp_path, writer, records)
    assert was_cached(tmp_path, writer, records)


def test_other_records_another_limit_or_another_template_are_encoded_anew(
    tmp_path: Path, writer: Policy
) -> None:
    assert not was_cached(tmp_path, writer, RECORDS)
    changed = [
        *RECORDS[:-1],
        replace(RECORDS[-1], prompt=RECORDS[-1].completion[:3], completion=turns("", "No.")[1:]),
    ]
    assert not was_cached(tmp_path, writer, changed)
    assert not was_cached(tmp_path, writer, RECORDS, CONTEXT - 1)
    other = policy(tmp_path / "other", template=Template(file="plain"))
    assert not was_cached(tmp_path, other, RECORDS)


def test_a_small_file_is_not_cached(tmp_path: Path, writer: Policy) -> None:
    with open_run(create_project(tmp_path), "sft", Config(), kind="model", quiet=True) as run:
        assert cached_encoder(run, writer, RECORDS, CONTEXT) is encode_demonstration
        assert not run.project.cache.exists()
