"""The events table as a stream.  Each process reads a new event once and hands it to everyone who watches.

Someone who watches holds no thread and no connection of the database while nothing happens.  The table is the only truth: an event's number
is its place, so that whoever was away goes on after the last number they have, from memory or from the table.  What one may see is decided
by the caller, and asked again every few seconds: a stream ends with the session that opened it.

What is read is read by threads of the loop itself: it waits for them when it ends, so that none outlives it with a connection in hand.

A process learns of its own events at once (`wake`), and of another process's within half a second, by asking the table for its end.
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

POLL_S = 0.5  # how late an event of another process may be
HEARTBEAT_S = 15.0  # a silent line is cut by proxies after 30 s or so; also how often rights are asked again
REMEMBERED = 2000  # events that are kept in memory
PAGE = 500  # events that are read at a time
MOST_STREAMS = 8  # of one person; a browser needs one for all its windows

log = logging.getLogger(__name__)

Shown = Callable[[Event], dict[str, Any] | None]  # an event as this person may see it; None when they may not
Rights = Callable[[], Shown | None]  # what they may see now; None when they may see nothing any more


class Live:
    def __init__(
        self, database: Database, *, poll_s: float = POLL_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._database, self._poll_s, self._heartbeat_s = database, poll_s, heartbeat_s
        self._remembered: deque[Event] = deque(maxlen=REMEMBERED)
        self._end = 0  # number of the newest event that this process knows
        self._watching: Counter[str] = Counter()
        self._reader: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._news = asyncio.Event()  # set, and replaced, when events have come
        self._closed = False

    def wake(self) -> None:
        """Something was written; from any thread, and cheap where nobody watches."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """Every stream ends now, so that the server can stop; from any thread."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    @property
    def num_streams(self) -> int:
        return self._watching.total()

    def check_room(self, person: str) -> None:
        if self._watching[person] >= MOST_STREAMS:
            raise TooMany(30)

    async def stream(self, person: str, rights: Rights, *, after: int | None = None) -> AsyncGenerator[bytes]:
        """Server-sent events with a number above `after`, or from now on.  `rights` is called in a thread."""
        self.check_room(person)
        self._watching[person] += 1
        try:
            self._start()
            shown = await asyncio.to_thread(rights)
            last = await asyncio.to_thread(self._last)
            place = last if after is None else min(after, last)
            yield f"retry: 2000\nid: {place}\n\n".encode()
            loop = asyncio.get_running_loop()
            asked_at = loop.time()
            while shown is not None and not self._closed:
                news = self._news  # before reading, so that nothing can come in between unseen
                found = await self._after(place)
                if frames := [
                    _frame(event.seq, said) for event in found if (said := shown(event)) is not None
                ]:
                    yield b"".join(frames)
                place = found[-1].seq if found else place
                left = self._heartbeat_s - (loop.time() - asked_at)
                if left <= 0 or any(_is_about_rights(event) for event in found):
                    shown, asked_at = await asyncio.to_thread(rights), loop.time()
                    yield f"id: {place}\n: still here\n\n".encode()
                elif not found:
                    await _wait(news, left)
        finally:
            self._watching[person] -= 1
            if not self._watching[person]:
                del self._watching[person]
            self._stop_if_alone()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reader is None or self._reader.done() or self._loop is not loop:
            self._loop, self._woken, self._news = loop, asyncio.Event(), asyncio.Event()
            self._remembered.clear()
            self._end = -1  # not known yet
            self._reader = loop.create_task(self._read_on())

    def _stop_if_alone(self) -> None:
        if not self._watching and self._reader is not None:
            self._reader.cancel()
            self._reader = self._loop = None

    async def _read_on(self) -> None:
        while True:
            self._woken.clear()
            try:
                if self._end < 0:
                    self._end, found = await asyncio.to_thread(self._last), []
                    self._tell()
                else:
                    found = await asyncio.to_thread(self._page, self._end)
            except (
                OperationalError
            ) as error:  # a database that is being started again comes back; those who watch wait
                log.warning("the events cannot be read: %s", type(error).__name__)
                found = []
            if found:
                self._remembered.extend(found)
                self._end = found[-1].seq
                self._tell()
            if len(found) < PAGE:
                await _wait(self._woken, self._poll_s)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _after(self, place: int) -> list[Event]:
        """What comes after `place`, at most a page of it; nothing when nothing has come."""
        if place >= self._end:
            return []
        if self._remembered and place >= self._remembered[0].seq - 1:
            skipped = place - self._remembered[0].seq + 1  # numbers have no gaps
            return [
                self._remembered[index]
                for index in range(skipped, min(skipped + PAGE, len(self._remembered)))
            ]
        return await asyncio.to_thread(self._page, place)

    def _page(self, place: int) -> list[Event]:
        with self._database.read() as connection:
            return events.list_after(connection, place, limit=PAGE)

    def _last(self) -> int:
        with self._database.read() as connection:
            return events.last_seq(connection)


def _frame(seq: int, said: dict[str, Any]) -> bytes:
    """JSON has no line breaks of its own, so one `data:` line holds it."""
    return f"id: {seq}\ndata: {json.dumps(said, ensure_ascii=False)}\n\n".encode()


def _is_about_rights(event: Event) -> bool:
    return event.verb == "campaign.created" or event.verb.split(".")[0] in (
        "person",
        "member",
        "session",
        "token",
    )


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
