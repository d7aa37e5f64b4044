import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fairlead.core import jsonl
from fairlead.recipes import sft
from fairlead.store.run import Run, open_run
from fairlead.train import threads
from fakes import project_with_base


class Machine:
    """A clock and a piece of work whose time depends on the number of threads, in seconds."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def work(self) -> None:
        self.now += self.seconds[torch.get_num_threads()]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    before = torch.get_num_threads()
    config = sft.Config(name="tuned", model="base", demonstrations="data/demonstrations.jsonl")
    with open_run(project_with_base(tmp_path), "sft", config, kind=sft.KIND, quiet=True) as opened:
        yield opened
    torch.set_num_threads(before)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that started with two threads, whose user left the number open."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "process_threads", lambda: 2)


def recorded(run: Run) -> list[int]:
    return [
        event["threads"]
        for _, event in jsonl.read(run.folder / "events.jsonl")
        if event["event"] == "threads"
    ]


def test_candidates() -> None:
    assert [threads.candidates(n) for n in (1, 2, 3, 16)] == [[1], [2, 1], [3, 1], [16, 8, 1]]


def test_fewer_threads_have_to_be_clearly_faster() -> None:
    assert threads.fastest({2: 1.0, 1: 0.75}) == 2
    assert threads.fastest({2: 1.0, 1: 0.65}) == 1
    assert threads.fastest({16: 1.0, 8: 0.65, 1: 0.6}) == 8


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("seconds", "expected"), [({2: 0.01, 1: 0.018}, 2), ({2: 0.05, 1: 0.018}, 1)])
def test_a_run_uses_and_records_the_faster_number(run: Run, seconds: dict[int, float], expected: int) -> None:
    machine = Machine(seconds)
    assert threads.choose_threads(run, machine.work, clock=machine.clock) == expected
    assert torch.get_num_threads() == expected
    assert recorded(run) == [expected]


@pytest.mark.usefixtures("two_threads")
def test_a_resumed_run_keeps_its_number(run: Run) -> None:
    busy, idle = Machine({2: 0.05, 1: 0.018}), Machine({2: 0.01, 1: 0.018})
    threads.choose_threads(run, busy.work, clock=busy.clock)
    assert threads.choose_threads(run, idle.work, clock=idle.clock) == 1
    assert torch.get_num_threads() == 1
    assert idle.now == 0.0  # nothing was timed
    assert recorded(run) == [1]


@pytest.mark.usefixtures("two_threads")
def test_the_users_number_is_not_timed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "2")
    machine = Machine({2: 0.05, 1: 0.018})
    assert threads.choose_threads(run, machine.work, clock=machine.clock) == 2
    assert machine.now == 0.0


@pytest.mark.usefixtures("two_threads")
def test_long_work_keeps_all_threads_and_is_not_timed(run: Run) -> None:
    machine = Machine({2: threads.LONGEST_S + 1, 1: 0.1})
    assert threads.choose_threads(run, machine.work, clock=machine.clock) == 2
    assert machine.now == threads.LONGEST_S + 1
    assert recorded(run) == [2]


def test_a_short_piece_of_work_is_repeated() -> None:
    machine = Machine({1: 0.001})
    assert threads.time_threads(machine.work, [1], clock=machine.clock)[1] == pytest.approx(0.001, abs=1e-9)
    assert machine.now == pytest.approx(threads.ROUNDS * 0.02, abs=0.002)
