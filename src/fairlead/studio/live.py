"""Streams the events table to subscribers.

Each process reads a new event once and passes it to every subscriber.

An idle subscriber holds no thread and no database connection.  The table is the only source of truth: an
event's number is its position, so a client that was away continues after the last number it has, from
memory or from the table. The caller decides what a subscriber may see and is asked again every few seconds,
so a stream ends with its session.

The table is read by threads of the event loop, which waits for them when it stops: no thread outlives it
with a connection.

A process learns of its own events at once (`wake`), and of other processes' events within half a second by
polling.
"""

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from sqlalchemy.exc import OperationalError

from fairlead.labels import events
from fairlead.labels.database import Database
from fairlead.labels.events import Event
from fairlead.studio.limits import TooMany

POLL_S = 0.5  # the longest delay of another process's event
HEARTBEAT_S = (
    15.0  # proxies cut a silent connection after about 30 s; permissions are also checked this often
)
CACHE_SIZE = 2000  # events kept in memory
PAGE_SIZE = 500  # events read at a time
MAX_STREAMS = 8  # per person; a browser needs one for all its windows

log = logging.getLogger(__name__)

# Maps an event to its JSON fields, or to None when the subscriber may not see it.
EventView = Callable[[Event], dict[str, Any] | None]
# The subscriber's current view, or None when they may see nothing any more.
CurrentView = Callable[[], EventView | None]


class LiveEvents:
    """One per app."""

    def __init__(
        self, database: Database, *, poll_s: float = POLL_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._database = database
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._cache: deque[Event] = deque(maxlen=CACHE_SIZE)
        self._last_seq = 0  # of the newest event that this process knows; -1 before the first read
        self._subscribers: Counter[str] = Counter()  # rater -> number of streams
        self._reader: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._new_events = asyncio.Event()  # set, and replaced, when events have arrived
        self._closed = False

    def wake(self) -> None:
        """Read new events now.  Callable from any thread, and cheap without subscribers."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """End every stream, so that the server can stop.  Callable from any thread."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify)

    @property
    def num_streams(self) -> int:
        return self._subscribers.total()

    def check_room(self, rater: str) -> None:
        """Raises TooMany when the person has the maximal number of streams."""
        if self._subscribers[rater] >= MAX_STREAMS:
            raise TooMany(30)

    async def stream(
        self, rater: str, current_view: CurrentView, *, after: int | None = None
    ) -> AsyncGenerator[bytes]:
        """Server-sent events with a number above `after`, or from now on.

        `current_view` is called in a thread.
        """
        self.check_room(rater)
        self._subscribers[rater] += 1
        try:
            self._start_reader()
            view = await asyncio.to_thread(current_view)
            last = await asyncio.to_thread(self._read_last_seq)
            position = last if after is None else min(after, last)
            yield f"retry: 2000\nid: {position}\n\n".encode()
            loop = asyncio.get_running_loop()
            checked_at = loop.time()
            while view is not None and not self._closed:
                new_events = self._new_events  # taken before reading, so that no event is missed
                page = await self._events_after(position)
                frames = [_frame(event.seq, fields) for event in page if (fields := view(event)) is not None]
                if frames:
                    yield b"".join(frames)
                position = page[-1].seq if page else position
                remaining_s = self._heartbeat_s - (loop.time() - checked_at)
                if remaining_s <= 0 or any(_changes_permissions(event) for event in page):
                    view = await asyncio.to_thread(current_view)
                    checked_at = loop.time()
                    yield f"id: {position}\n: still here\n\n".encode()
                elif not page:
                    await _wait(new_events, remaining_s)
        finally:
            self._subscribers[rater] -= 1
            if not self._subscribers[rater]:
                del self._subscribers[rater]
            self._stop_reader_if_idle()

    def _start_reader(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reader is None or self._reader.done() or self._loop is not loop:
            self._loop = loop
            self._woken = asyncio.Event()
            self._new_events = asyncio.Event()
            self._cache.clear()
            self._last_seq = -1
            self._reader = loop.create_task(self._read_forever())

    def _stop_reader_if_idle(self) -> None:
        if not self._subscribers and self._reader is not None:
            self._reader.cancel()
            self._reader = None
            self._loop = None

    async def _read_forever(self) -> None:
        while True:
            self._woken.clear()
            page: list[Event] = []
            try:
                if self._last_seq < 0:
                    self._last_seq = await asyncio.to_thread(self._read_last_seq)
                    self._notify()
                else:
                    page = await asyncio.to_thread(self._read_page, self._last_seq)
            except OperationalError as error:
                # The database may be restarting.  Subscribers wait until it is back.
                log.warning("cannot read events: %s", type(error).__name__)
            if page:
                self._cache.extend(page)
                self._last_seq = page[-1].seq
                self._notify()
            if len(page) < PAGE_SIZE:
                await _wait(self._woken, self._poll_s)

    def _notify(self) -> None:
        new_events = self._new_events
        self._new_events = asyncio.Event()
        new_events.set()

    async def _events_after(self, position: int) -> list[Event]:
        """At most one page of events after `position`."""
        if position >= self._last_seq:
            return []
        if self._cache and position >= self._cache[0].seq - 1:
            start = position - self._cache[0].seq + 1  # event numbers have no gaps
            return [self._cache[index] for index in range(start, min(start + PAGE_SIZE, len(self._cache)))]
        return await asyncio.to_thread(self._read_page, position)

    def _read_page(self, position: int) -> list[Event]:
        with self._database.read() as connection:
            return events.list_after(connection, position, limit=PAGE_SIZE)

    def _read_last_seq(self) -> int:
        with self._database.read() as connection:
            return events.last_seq(connection)


def _frame(seq: int, fields: dict[str, Any]) -> bytes:
    """One `data:` line is enough: JSON escapes line breaks."""
    return f"id: {seq}\ndata: {json.dumps(fields, ensure_ascii=False)}\n\n".encode()


def _changes_permissions(event: Event) -> bool:
    subject = event.verb.split(".")[0]
    return event.verb == "campaign.created" or subject in ("person", "member", "session", "token")


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
