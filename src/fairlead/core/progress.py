"""Progress on standard error: a bar on a terminal, and a plain line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 10.0  # often enough to show in a log file that the process is alive


class ProgressMeter:
    """Receives one call per finished step; `note` is a short line of metrics."""

    def advance(self, note: str = "") -> None:
        raise NotImplementedError


class _Silent(ProgressMeter):
    def advance(self, note: str = "") -> None:
        pass


class _Plain(ProgressMeter):
    def __init__(self, title: str, total: int, done: int) -> None:
        self.title = title
        self.total = total
        self.done = done
        self.done_at_start = done
        self.started_at = time.monotonic()
        self.printed_at = self.started_at

    def advance(self, note: str = "") -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.printed_at >= PLAIN_INTERVAL_S:
            left = (now - self.started_at) / (self.done - self.done_at_start) * (self.total - self.done)
            print(
                f"{self.title} {self.done}/{self.total}  {note}  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            self.printed_at = now


class _Bar(ProgressMeter):
    def __init__(self, bar: Progress, task: int) -> None:
        self.bar = bar
        self.task = task

    def advance(self, note: str = "") -> None:
        self.bar.update(self.task, advance=1, note=note)  # type: ignore[arg-type]


@contextmanager
def progress(title: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[ProgressMeter]:
    """Yield the meter of a loop of `total` steps, `done` of which are already finished."""
    console = Console(stderr=True)
    if quiet:
        yield _Silent()
    elif not console.is_terminal:
        yield _Plain(title, total, done)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console) as bar:
            yield _Bar(bar, bar.add_task(title, total=total, completed=done, note=""))
