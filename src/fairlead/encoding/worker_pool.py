"""Encode many records, in worker processes where there are enough of them.

The workers are new interpreters that only encode.  They are neither forks, which may hang once torch or the
tokenizer has started threads, nor processes of `multiprocessing`, which run the caller's script again.
Parent and worker exchange pickles over pipes: what is pickled never comes from a file.

A chunk whose worker dies is encoded in this process, which then either does what the worker could not, or
fails where the failure can be seen.
"""

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import DataError, FairleadError

R = TypeVar("R")
E = TypeVar("E")
C = TypeVar("C")  # an encoder

SMALLEST = 4000  # records; fewer are encoded before workers have started
CHUNK = 250  # records that a worker gets at once
MAX_WORKERS = 32


def encode_records(
    encoder: C,
    encode: Callable[[C, R, int | None], E],
    records: Sequence[R],
    max_tokens: int | None,
    *,
    num_workers: int | None = None,
) -> Generator[E | DataError]:
    """The rows of each record, or why it has none, in order.

    Another error of Fairlead is raised at its record.  `num_workers` defaults to the cores that this process
    may use for many records, and to none for few.  `encode` has to be a function of a module.
    """
    if num_workers is None:
        num_workers = default_workers(len(records), tokenizer_of(encoder))
    if num_workers == 0:
        for record in records:
            yield raised(outcome(encoder, encode, record, max_tokens))
        return
    chunks = (records[start : start + CHUNK] for start in range(0, len(records), CHUNK))
    setup = pickle.dumps((encoder, encode, max_tokens))
    with _Pool(num_workers, setup) as pool:
        for chunk, outcomes in pool.map(chunks):
            for i, record in enumerate(chunk):
                yield raised(
                    outcome(encoder, encode, record, max_tokens) if outcomes is None else outcomes[i]
                )


def outcome(
    encoder: C, encode: Callable[[C, R, int | None], E], record: R, max_tokens: int | None
) -> E | FairleadError:
    try:
        return encode(encoder, record, max_tokens)
    except FairleadError as error:
        error.__traceback__ = None
        return error


def raised(result: E | FairleadError) -> E | DataError:
    """The outcome, unless it is an error of something else than the record."""
    if isinstance(result, FairleadError) and not isinstance(result, DataError):
        raise result
    return result


def default_workers(num_records: int, tokenizer: PreTrainedTokenizerBase) -> int:
    if num_records < SMALLEST:
        return 0
    # Code that came with a model cannot be found by another process, and slow tokenizers may hold anything.
    is_known = tokenizer.is_fast and type(tokenizer).__module__.startswith("transformers.")
    is_known = is_known and bool(sys.executable)
    num_cores = min(available_cores(), MAX_WORKERS)
    return num_cores if num_cores > 1 and is_known else 0


def available_cores() -> int:
    """The cores that this process may use; those of the machine where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows


def tokenizer_of(encoder: Any) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = encoder.chat.tokenizer
    return tokenizer


class _Pool:
    """Worker processes, each used by one thread at a time.  Leaving the block ends them."""

    def __init__(self, num_workers: int, setup: bytes) -> None:
        self._setup = setup
        self._workers: list[subprocess.Popen[bytes]] = []
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="encoding")
        self._size = num_workers
        self._ready: set[subprocess.Popen[bytes]] = set()  # workers that have the encoder

    def __enter__(self) -> "_Pool":
        try:
            for _ in range(self._size):
                worker = _start()
                self._workers.append(worker)
                self._idle.put(worker)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            for pipe in (worker.stdin, worker.stdout):
                with suppress(OSError):  # what is left for a dead worker is lost
                    if pipe is not None:
                        pipe.close()
            worker.wait()

    def map(self, chunks: Iterator[Sequence[R]]) -> Iterator[tuple[Sequence[R], list[Any] | None]]:
        """Each chunk with its outcomes, in order.  At most two chunks for each worker are on their way."""
        waiting: deque[tuple[Sequence[R], Future[list[Any] | None]]] = deque()
        for chunk in islice(chunks, 2 * self._size):
            waiting.append((chunk, self._threads.submit(self._exchange, chunk)))
        while waiting:
            chunk, future = waiting.popleft()
            outcomes = future.result()
            if (following := next(chunks, None)) is not None:
                waiting.append((following, self._threads.submit(self._exchange, following)))
            yield chunk, outcomes

    def _exchange(self, chunk: Sequence[R]) -> list[Any] | None:
        """The outcomes of a chunk from an idle worker; None if the worker has died."""
        worker = self._idle.get()
        assert worker.stdin is not None and worker.stdout is not None, "pipes"
        try:
            if worker.poll() is not None:
                return None
            if worker not in self._ready:
                worker.stdin.write(self._setup)
                self._ready.add(worker)
            pickle.dump(chunk, worker.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            worker.stdin.flush()
            outcomes: list[Any] = pickle.load(worker.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            worker.kill()
            return None
        else:
            return outcomes
        finally:
            self._idle.put(worker)


def _start() -> subprocess.Popen[bytes]:
    """A worker, which finds the same packages and splits no single text over threads."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    # -P: a file in the working directory must not take the place of a module.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fairlead.encoding.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
    )
