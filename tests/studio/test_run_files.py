"""The state of runs, read from their folders."""

import fcntl
import os

import pytest

from fairlead.store.project import Project
from fairlead.studio import project_files, run_files
from studio.projects import make_run


def test_a_run_is_running_while_its_lock_is_held(home: Project) -> None:
    folder = make_run(home)
    with open(folder / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = run_files.list_runs(home)[0][0].state
        fcntl.flock(lock, fcntl.LOCK_UN)
    assert (held, run_files.list_runs(home)[0][0].state) == ("running", "stopped")


def test_looking_at_a_run_never_holds_its_lock(home: Project) -> None:
    folder = make_run(home)
    with open(folder / ".lock") as lock:
        for _ in range(20):
            run_files.list_runs(home)
            run_files.read_run(home, folder.name)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(lock, fcntl.LOCK_UN)


def test_a_finished_run_and_one_that_has_not_begun(home: Project) -> None:
    make_run(home, finished="model/aligned")
    (home.runs / "sft-new-0123456789").mkdir()
    states = {
        line.id: (line.state, line.step, line.num_steps, line.artifact)
        for line in run_files.list_runs(home)[0]
    }
    assert states == {
        "ppo-aligned-0123456789": ("finished", 30, 40, "model/aligned"),
        "sft-new-0123456789": ("waiting", None, None, None),
    }


def test_of_many_runs_the_latest_are_read_and_all_are_counted(
    home: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        folder = make_run(home, f"ppo-{number}")
        for path in (*folder.iterdir(), folder):
            os.utime(path, (number, number))
    read: list[str] = []
    monkeypatch.setattr(run_files, "_line", lambda folder, *_: read.append(folder.name))
    assert run_files.list_runs(home, 2)[1] == 4 and read == ["ppo-3", "ppo-2"]


@pytest.mark.slow
def test_a_file_of_metrics_without_an_end_is_read_from_its_end(
    home: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(home, steps=0)
    with open(folder / "metrics.jsonl", "w") as file:
        for step in range(1, 400_001):
            file.write(f'{{"step": {step}, "loss": 0.123456, "reward": 0.5}}\n')
    assert (folder / "metrics.jsonl").stat().st_size > project_files.MAX_ROWS
    found = run_files.read_run(home, folder.name)
    assert found.rows[-1]["step"] == 400_000 and found.rows[0]["step"] > 1
    assert "very long" in found.remarks[0]
