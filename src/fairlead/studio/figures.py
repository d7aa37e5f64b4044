"""The figures of campaigns, computed once for everybody who looks at the same time.

A dashboard is asked for again whenever something happens; in a large and busy campaign that is more often than it needs to be computed.
Figures are kept for a second, or for as long as keeps the computing to a fifth of the time.  They say which event they end with, so that
who has heard of a later one asks again.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from fairlead.labels import agreement, events, progress
from fairlead.labels.agreement import MeasuredAgreement
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, parse_time
from fairlead.labels.progress import Progress, TagProgress

KEEP_S = 1.0
KEEP_SLOW_S = 20.0  # of what takes long in a large campaign, and changes slowly
REST = 4  # times as long as computing took
MOST_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Figures:
    seq: int  # of the last event before they were computed
    progress: Progress
    agreement: MeasuredAgreement | None
    tags: list[TagProgress]


class Board:
    def __init__(self, database: Database, clock: Callable[[], str]) -> None:
        self._database, self._clock = database, clock
        self._kept: dict[tuple[int, str], tuple[float, Any]] = {}  # until when
        self._turns: dict[tuple[int, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, one: Campaign) -> Figures:
        measured = self._keep(one, "agreement", KEEP_SLOW_S, lambda: self._agreement(one))
        tags = self._keep(one, "tags", KEEP_SLOW_S, lambda: self._tags(one))
        seq, found = self._keep(one, "progress", KEEP_S, lambda: self._progress(one))
        return Figures(seq, found, measured, tags)

    def forget(self, one: Campaign) -> None:
        """Something was done that has to be seen at once."""
        with self._lock:
            self._kept.pop((one.id, "progress"), None)

    def _keep(self, one: Campaign, what: str, keep_s: float, compute: Callable[[], T]) -> T:
        with self._lock:
            turn = self._turns.setdefault((one.id, what), threading.Lock())
        with turn:  # the others wait for who came first, and take what it found
            with self._lock:
                until, found = self._kept.get((one.id, what), (0.0, None))
            if time.monotonic() < until:
                kept: T = found
                return kept
            began = time.monotonic()
            made = compute()
            took = time.monotonic() - began
            with self._lock:
                self._kept[one.id, what] = (time.monotonic() + max(keep_s, min(MOST_S, REST * took)), made)
            return made

    def _progress(self, one: Campaign) -> tuple[int, Progress]:
        at: datetime = parse_time(self._clock())
        with self._database.read() as connection:
            return events.last_seq(connection), progress.get_progress(connection, one, at=at)

    def _tags(self, one: Campaign) -> list[TagProgress]:
        with self._database.read() as connection:
            return progress.by_tag(connection, one)

    def _agreement(self, one: Campaign) -> MeasuredAgreement | None:
        with self._database.read() as connection:
            return agreement.measure(connection, one)
