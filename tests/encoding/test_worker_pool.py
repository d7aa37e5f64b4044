"""Rows of worker processes equal those of one process, in order, and no process is left behind."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from fairlead.core.errors import DataError, ModelError
from fairlead.data.records import Demonstration
from fairlead.encoding import worker_pool
from fairlead.encoding.chat import Encoded, TooLong
from fairlead.encoding.encoders import PolicyEncoder
from fairlead.encoding.record_rows import encode_demonstration
from fairlead.encoding.worker_pool import encode_records
from fakes import assistant, chat_format, tokenizer, user

ENCODER = PolicyEncoder(chat_format())
RECORDS = [Demonstration((user(f"What is {i}?"),), (assistant(f"It is {i}."),)) for i in range(600)]
RECORDS[3] = Demonstration((user("word " * 300),), (assistant("So."),))
RECORDS[300] = Demonstration((user("<|end|>"),), (assistant("So."),))

Rows = tuple[Encoded, ...]


def rows(records: Sequence[Demonstration], num_workers: int | None) -> list[object]:
    outcomes = encode_records(ENCODER, encode_demonstration, records, 100, num_workers=num_workers)
    return [(type(item), str(item)) if isinstance(item, DataError) else item for item in outcomes]


def processes() -> list[str]:
    """The worker processes of this process."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for child in children for pid in child.read_text().split()]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in pids]
    return [line for line in lines if "fairlead.encoding.worker" in line]


def test_rows_and_errors_are_those_of_one_process_in_order() -> None:
    expected = rows(RECORDS, 0)
    assert [type(item) for item in expected[:3]] == [tuple] * 3
    assert isinstance(expected[3], tuple) and expected[3][0] is TooLong
    assert isinstance(expected[300], tuple) and "control token" in expected[300][1]
    assert rows(RECORDS, 2) == expected
    assert not processes()


def test_leaving_early_ends_the_workers() -> None:
    with closing(encode_records(ENCODER, encode_demonstration, RECORDS, 100, num_workers=2)) as outcomes:
        next(outcomes)
        assert len(processes()) == 2
    assert not processes()
    with pytest.raises(KeyboardInterrupt):
        for _ in encode_records(ENCODER, encode_demonstration, RECORDS, 100, num_workers=1):
            raise KeyboardInterrupt
    assert not processes()


def dies(encoder: PolicyEncoder, record: Demonstration, max_tokens: int | None) -> Rows:
    if int(os.environ["PARENT"]) != os.getpid():
        os._exit(1)
    return encode_demonstration(encoder, record, max_tokens)


def test_the_records_of_a_worker_that_dies_are_encoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARENT", str(os.getpid()))
    outcomes = encode_records(ENCODER, dies, RECORDS[:2], 100, num_workers=1)
    assert list(outcomes) == [encode_demonstration(ENCODER, record, 100) for record in RECORDS[:2]]


def refuses(encoder: PolicyEncoder, record: Demonstration, max_tokens: int | None) -> Rows:
    raise ModelError("the template has no end of turn.")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_of_the_model_is_raised(num_workers: int) -> None:
    with pytest.raises(ModelError, match="no end of turn"):
        list(encode_records(ENCODER, refuses, RECORDS[:2], 100, num_workers=num_workers))


def test_workers_do_not_load_torch() -> None:
    code = (
        "import sys, fairlead.encoding.worker, fairlead.encoding.record_rows; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_few_records_one_core_or_unknown_code_need_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "available_cores", lambda: 3)
    assert worker_pool.default_workers(worker_pool.SMALLEST, tokenizer()) == 3
    assert worker_pool.default_workers(worker_pool.SMALLEST - 1, tokenizer()) == 0
    own = type("Own", (type(tokenizer()),), {"__module__": "their_code"})
    assert worker_pool.default_workers(10**6, own(tokenizer_object=tokenizer().backend_tokenizer)) == 0
    monkeypatch.setattr(worker_pool, "available_cores", lambda: 1)
    assert worker_pool.default_workers(10**6, tokenizer()) == 0


def test_cores_are_counted_where_the_system_knows_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= worker_pool.available_cores() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert worker_pool.available_cores() == 6
