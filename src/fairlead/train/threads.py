"""How many CPU threads a run uses: all of them, or fewer where a short timing shows that fewer are faster.

The number of threads changes the order of additions and so the last bits of a result.  A run therefore
records its number in `events.jsonl`, and a resumed run uses the recorded number.  On a GPU nothing is timed.
"""

import functools
import os
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from fairlead.core import jsonl
from fairlead.store.run import Run

# Timings of each number of threads, in turn, so that a slow moment of the machine hits all of them.
ROUNDS = 3
SHORTEST_S = 0.02  # a timing shorter than this is repeated: the clock and the scheduler blur it
# Work that takes longer than this is not timed.  Its operations are large, and two threads that share a busy
# core are then as fast as one thread.
LONGEST_S = 2.0
# Fewer threads have to be clearly faster.  Two cores were measured.  While another program kept one of
# them busy, one thread took 0.58 to 0.73 of the time of two.  On the idle machine it took 0.70 to 1.12 of
# the time, and once 0.53.  A wrong choice costs time and leaves the result as good.
MARGIN = 0.7


def choose_threads(
    run: Run, work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Set and return the number of threads for this run; `work` computes what a training step computes, on a
    few rows.

    A user who sets OMP_NUM_THREADS decides; so does the run's own record, when it resumes.
    """
    recorded = [
        event["threads"]
        for _, event in jsonl.read(run.folder / "events.jsonl")
        if event["event"] == "threads"
    ]
    if recorded:
        threads = int(recorded[-1])
        torch.set_num_threads(threads)
        return threads
    available = process_threads()
    torch.set_num_threads(available)
    fixed = available == 1 or "OMP_NUM_THREADS" in os.environ or torch.cuda.is_available()
    if fixed or first_call_seconds(work, clock) > LONGEST_S:
        run.event("threads", threads=available)
        return available
    seconds = time_threads(work, candidates(available), clock=clock)
    threads = fastest(seconds)
    torch.set_num_threads(threads)
    run.event("threads", threads=threads, seconds={str(n): round(s, 6) for n, s in seconds.items()})
    return threads


def first_call_seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of the first call, which also pays for memory and kernels that later calls find ready."""
    began = clock()
    work()
    return clock() - began


@functools.cache
def process_threads() -> int:
    """The number of threads that torch started with, before any run changed it."""
    return torch.get_num_threads()


def candidates(available: int) -> list[int]:
    """All threads, half of them, and one, the most first."""
    return sorted({available, max(1, available // 2), 1}, reverse=True)


def time_threads(
    work: Callable[[], object], numbers: list[int], *, clock: Callable[[], float] = time.perf_counter
) -> dict[int, float]:
    """Median seconds of `work` with each number of threads."""
    timings: dict[int, list[float]] = {number: [] for number in numbers}
    for _ in range(ROUNDS):
        for number in numbers:
            torch.set_num_threads(number)
            began = clock()
            repeats = 0
            while True:
                work()
                repeats += 1
                elapsed = clock() - began
                if elapsed >= SHORTEST_S:
                    break
            timings[number].append(elapsed / repeats)
    return {number: statistics.median(values) for number, values in timings.items()}


def fastest(seconds: Mapping[int, float]) -> int:
    """The most threads that no smaller number beats by the margin."""
    best = max(seconds)
    for number in sorted(seconds, reverse=True):
        if seconds[number] < MARGIN * seconds[best]:
            best = number
    return best
