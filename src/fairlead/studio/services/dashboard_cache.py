"""Dashboard figures of campaigns, computed once for everybody who looks at the same time.

Dashboards reload whenever an event arrives, which in a busy campaign is more often than figures can be
computed. Figures are cached for a second, or for long enough that computing them takes at most a fifth of
the time. They carry the number of the last event they include, so a client that knows a later event
reloads.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Literal, TypeVar

from fairlead.labels import agreement, events, progress
from fairlead.labels.agreement import MeasuredAgreement
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, parse_time
from fairlead.labels.progress import Progress, TagProgress

CACHE_S = 1.0
SLOW_CACHE_S = 20.0  # for figures that are slow to compute in a large campaign and change slowly
REST_FACTOR = (
    4  # cache for at least this many times the computing time: at most a fifth of the time is computing
)
MAX_CACHE_S = 30.0

T = TypeVar("T")
Section = Literal["progress", "agreement", "tags"]


@dataclass(frozen=True)
class Figures:
    seq: int  # of the last event before the figures were computed
    progress: Progress
    agreement: MeasuredAgreement | None
    tags: list[TagProgress]


class DashboardCache:
    """Thread-safe; one per app."""

    def __init__(self, database: Database, clock: Callable[[], str], zone: tzinfo = UTC) -> None:
        self._database = database
        self._clock = clock
        self._zone = zone
        self._cached: dict[tuple[int, Section], tuple[float, Any]] = {}  # (valid until, value)
        self._computing: dict[tuple[int, Section], threading.Lock] = {}
        self._lock = threading.Lock()

    def figures(self, campaign: Campaign) -> Figures:
        measured = self._get(campaign, "agreement", SLOW_CACHE_S, self._measure_agreement)
        tags = self._get(campaign, "tags", SLOW_CACHE_S, self._count_tags)
        seq, counts = self._get(campaign, "progress", CACHE_S, self._count_progress)
        return Figures(seq, counts, measured, tags)

    def forget(self, campaign: Campaign) -> None:
        """Drop the cached progress after a change that must be visible at once."""
        with self._lock:
            self._cached.pop((campaign.id, "progress"), None)

    def _get(
        self, campaign: Campaign, section: Section, cache_s: float, compute: Callable[[Campaign], T]
    ) -> T:
        key = (campaign.id, section)
        with self._lock:
            computing = self._computing.setdefault(key, threading.Lock())
        with computing:  # concurrent requests wait for the first and share its result
            with self._lock:
                valid_until, value = self._cached.get(key, (0.0, None))
            started = time.monotonic()
            if started < valid_until:
                cached: T = value
                return cached
            computed = compute(campaign)
            ended = time.monotonic()
            keep_s = max(cache_s, min(MAX_CACHE_S, REST_FACTOR * (ended - started)))
            with self._lock:
                self._cached[key] = (ended + keep_s, computed)
            return computed

    def _count_progress(self, campaign: Campaign) -> tuple[int, Progress]:
        at = parse_time(self._clock())
        with self._database.read() as connection:
            counted = progress.get_progress(connection, campaign, at=at, zone=self._zone)
            return events.last_seq(connection), counted

    def _count_tags(self, campaign: Campaign) -> list[TagProgress]:
        with self._database.read() as connection:
            return progress.by_tag(connection, campaign)

    def _measure_agreement(self, campaign: Campaign) -> MeasuredAgreement | None:
        with self._database.read() as connection:
            return agreement.measure(connection, campaign)
