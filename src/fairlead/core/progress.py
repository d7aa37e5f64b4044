"""Progress on standard error: a bar with time left on a terminal, a plain line now and then elsewhere, silence on request."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 10.0  # a log file wants a sign of life, not a page of bars


class ProgressMeter:
    """Where a loop says how far it is; `note` is a short line of figures."""

    def advance(self, note: str = "") -> None:
        raise NotImplementedError


class _Silent(ProgressMeter):
    def advance(self, note: str = "") -> None:
        pass


class _Plain(ProgressMeter):
    def __init__(self, title: str, total: int, done: int) -> None:
        self.title, self.total, self.done = title, total, done
        self.started_at = self.shown_at = time.monotonic()
        self.start = done

    def advance(self, note: str = "") -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.shown_at >= PLAIN_INTERVAL_S:
            left = (now - self.started_at) / (self.done - self.start) * (self.total - self.done)
            print(
                f"{self.title} {self.done}/{self.total}  {note}  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            self.shown_at = now


class _Bar(ProgressMeter):
    def __init__(self, bar: Progress, task: int) -> None:
        self.bar, self.task = bar, task

    def advance(self, note: str = "") -> None:
        self.bar.update(self.task, advance=1, note=note)  # type: ignore[arg-type]


@contextmanager
def progress(title: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[ProgressMeter]:
    """Yields the meter of a loop of `total` steps, of which `done` were made before."""
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
