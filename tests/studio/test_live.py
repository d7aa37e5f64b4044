"""The stream of events: nothing lost, nothing twice, nothing that is not one's to see, and nothing held while
it is silent.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

import web
from fairlead.labels import credentials, events, schema
from fairlead.labels.database import Database, now, open_database
from fairlead.labels.events import Event
from fairlead.labels.people import Person
from fairlead.studio.auth import COOKIE
from fairlead.studio.limits import TooMany
from fairlead.studio.live import CACHE_SIZE, MAX_STREAMS, LiveEvents
from labels.build import open_campaign
from studio.event_helpers import URL, happen


def everything(event: Event) -> dict[str, Any]:
    return {"seq": event.seq, "verb": event.verb}


async def read(stream: AsyncIterator[bytes], number: int, within_s: float = 10) -> list[int]:
    """The numbers of the next events of a stream."""
    found: list[int] = []
    async with asyncio.timeout(within_s):
        while len(found) < number:
            found += [
                json.loads(line[6:])["seq"]
                for line in (await anext(stream)).decode().split("\n")
                if line.startswith("data: ")
            ]
    return found


def live(database: Database, **settings: float) -> LiveEvents:
    return LiveEvents(database, poll_s=0.02, **settings)


# ---------------------------------------------------------------- LiveEvents, without HTTP


def test_from_now_on_and_in_order(database: Database) -> None:
    before = happen(database, 3)

    async def watch() -> list[int]:
        one = live(database)
        async with aclosing(one.stream("r-1", lambda: everything)) as stream:
            assert (await anext(stream)) == f"retry: 2000\nid: {before}\n\n".encode()
            await asyncio.to_thread(happen, database, 5)
            return await read(stream, 5)

    assert asyncio.run(watch()) == [before + k for k in range(1, 6)]


def test_a_gap_is_made_up_from_the_table_and_then_goes_on_live(database: Database) -> None:
    happen(database, 30)

    async def watch() -> list[int]:
        one = live(database)
        async with aclosing(one.stream("r-1", lambda: everything, after=7)) as stream:
            found = await read(stream, 23)
            await asyncio.to_thread(happen, database, 4)
            return found + await read(stream, 4)

    assert asyncio.run(watch()) == list(range(8, 35))


def test_every_event_once_while_many_write_and_watchers_come_and_go(database: Database) -> None:
    """Four threads write; ten subscribers read a part, leave, and resume from their last event."""

    def write() -> None:
        for _ in range(40):
            happen(database, 2)

    async def watcher(one: LiveEvents, last: int) -> list[int]:
        found: list[int] = []
        while not found or found[-1] < last:
            async with aclosing(
                one.stream("r-1", lambda: everything, after=found[-1] if found else 0)
            ) as stream:
                found += await read(stream, min(17, last - (found[-1] if found else 0)), within_s=30)
        return found

    async def run() -> list[list[int]]:
        one = live(database)
        writers = [asyncio.create_task(asyncio.to_thread(write)) for _ in range(4)]
        watchers = [asyncio.create_task(watcher(one, 320)) for _ in range(MAX_STREAMS)]
        await asyncio.gather(*writers)
        found = await asyncio.gather(*watchers)
        assert one.num_streams == 0
        return found

    for found in asyncio.run(run()):
        assert found == list(range(1, 321))


@pytest.mark.slow
def test_who_is_slower_than_the_memory_reads_from_the_table(database: Database) -> None:
    async def watch() -> list[int]:
        one = live(database)
        async with (
            aclosing(one.stream("r-1", lambda: everything, after=0)) as slow,
            aclosing(one.stream("r-2", lambda: everything)) as fast,
        ):
            await anext(slow)
            await anext(fast)
            await asyncio.to_thread(happen, database, CACHE_SIZE + 700)
            await read(fast, CACHE_SIZE + 700, within_s=60)
            return await read(slow, CACHE_SIZE + 700, within_s=60)

    assert asyncio.run(watch()) == list(range(1, CACHE_SIZE + 701))


def test_a_number_from_the_future_is_the_present(database: Database) -> None:
    last = happen(database, 2)

    async def watch() -> list[int]:
        async with aclosing(live(database).stream("r-1", lambda: everything, after=10**12)) as stream:
            await anext(stream)
            await asyncio.to_thread(happen, database)
            return await read(stream, 1)

    assert asyncio.run(watch()) == [last + 1]


def test_hidden_events_move_the_place_on(database: Database) -> None:
    """So that who comes back does not go through them again."""

    async def watch() -> bytes:
        one = live(database, heartbeat_s=0.2)
        async with aclosing(one.stream("r-1", lambda: lambda event: None)) as stream:
            await anext(stream)
            await asyncio.to_thread(happen, database, 9)
            async with asyncio.timeout(10):
                while b"id: 9\n" not in (said := await anext(stream)):
                    pass
            return said

    assert asyncio.run(watch()) == b"id: 9\n: still here\n\n"


def test_a_stream_ends_with_its_rights_and_at_once_when_they_are_changed(database: Database) -> None:
    answers = [everything, None]

    async def watch() -> float:
        one = LiveEvents(database, poll_s=0.02)  # 15 seconds between heartbeats
        began = time.monotonic()
        async with asyncio.timeout(10):
            async for _ in one.stream("r-1", lambda: answers.pop(0)):
                await asyncio.to_thread(happen, database, verb="member.removed")
        return time.monotonic() - began

    assert asyncio.run(watch()) < 5


def test_waking_is_quicker_than_polling(database: Database) -> None:
    def write_and_wake(one: LiveEvents) -> None:
        happen(database)
        one.wake()

    async def watch() -> float:
        one = LiveEvents(database, poll_s=30)
        async with aclosing(one.stream("r-1", lambda: everything)) as stream:
            await anext(stream)
            await asyncio.sleep(0.3)  # the reader waits now
            threading.Thread(target=write_and_wake, args=(one,)).start()
            began = time.monotonic()
            await read(stream, 1)
            return time.monotonic() - began

    assert asyncio.run(watch()) < 5


def test_a_person_has_so_many_streams_and_closing_one_makes_room(database: Database) -> None:
    async def watch() -> None:
        one = live(database)
        opened = [one.stream("r-1", lambda: everything) for _ in range(MAX_STREAMS)]
        for stream in opened:
            await anext(stream)
        with pytest.raises(TooMany):
            one.check_room("r-1")
        one.check_room("r-2")
        await opened[0].aclose()
        one.check_room("r-1")
        for stream in opened[1:]:
            await stream.aclose()

    asyncio.run(watch())


def test_closing_ends_all_streams(database: Database) -> None:
    async def watch() -> int:
        one = live(database)
        opened = [one.stream(f"r-{k}", lambda: everything) for k in range(3)]
        for stream in opened:
            await anext(stream)
        ends = [asyncio.create_task(_drain(stream)) for stream in opened]
        threading.Thread(target=one.close).start()
        async with asyncio.timeout(5):
            await asyncio.gather(*ends)
        return one.num_streams

    async def _drain(stream: AsyncIterator[bytes]) -> None:
        async for _ in stream:
            pass

    assert asyncio.run(watch()) == 0


def test_silent_streams_hold_neither_threads_nor_connections(tmp_path: Any) -> None:
    """A hundred watchers, and readers still find a connection at once: the pool has sixteen."""
    database = open_database(f"sqlite:///{tmp_path / 'studio.db'}")
    schema.upgrade(database)

    async def watch() -> tuple[int, float]:
        one = LiveEvents(database, poll_s=5)
        opened = [one.stream(f"r-{k}", lambda: everything) for k in range(100)]
        waiting = [asyncio.create_task(_two(stream)) for stream in opened]
        await asyncio.sleep(1.0)
        threads = threading.active_count()
        began = time.monotonic()
        for _ in range(30):
            await asyncio.to_thread(events_of, database)
        took = time.monotonic() - began
        happen(database)
        one.wake()
        await asyncio.gather(*waiting)
        for stream in opened:
            await stream.aclose()
        return threads, took

    async def _two(stream: AsyncIterator[bytes]) -> None:
        await anext(stream)
        await read(stream, 1, within_s=30)

    def events_of(database: Database) -> int:
        with database.read() as connection:
            return events.last_seq(connection)

    threads, took = asyncio.run(watch())
    assert took < 5
    assert threads < 60  # those of the pool, which a burst at the start may fill; not a hundred
    database.close()


# ---------------------------------------------------------------- what one may see


# ---------------------------------------------------------------- over HTTP


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    app.state.live.close()
    server.should_exit = True
    thread.join(10)


def session(database: Database, one: Person) -> str:
    with database.write() as connection:
        return credentials.start_session(connection, one, days=1, at=now())


def lines(
    client: httpx.Client, headers: dict[str, str] | None = None, **query: Any
) -> Generator[tuple[int, dict[str, Any]]]:
    """(id, event) of a stream, as a browser reads it."""
    with client.stream("GET", URL, params=query, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        number = -1
        for line in answer.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                yield number, json.loads(line[6:])


def test_a_line_that_was_cut_goes_on_after_the_last_number(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
    owner = web.person(database, "Ada", "owner")
    with (
        served(app) as url,
        httpx.Client(base_url=url, cookies={COOKIE: session(database, owner)}, timeout=20) as client,
    ):
        first = happen(database, 3, campaign=one.id)
        stream = lines(client, after=first - 3, campaign=one.slug)
        got = [next(stream)[0] for _ in range(3)]
        stream.close()
        happen(database, 3, campaign=one.id)
        stream = lines(client, {"Last-Event-ID": str(got[-1])}, campaign=one.slug)
        got += [next(stream)[0] for _ in range(3)]
        happen(database, campaign=one.id)
        number, event = next(stream)
        stream.close()
    assert [*got, number] == list(range(first - 2, first + 5))
    assert (
        event["campaign"] == one.slug and event["verb"] == "judgement.made" and event["body"] == {"item": 0}
    )


def test_logging_out_ends_the_stream(app: FastAPI, database: Database) -> None:
    owner = web.person(database, "Ada", "owner")
    with (
        served(app) as url,
        httpx.Client(base_url=url, cookies={COOKIE: session(database, owner)}, timeout=20) as client,
    ):
        stream = lines(client, after=0)
        next(stream)
        with database.write() as connection:
            credentials.end_sessions(connection, owner)
        happen(
            database, verb="person.changed", campaign=None
        )  # rights are asked again at this, and not only every 15 seconds
        began = time.monotonic()
        assert all(
            event["verb"] == "person.changed" for _, event in stream
        )  # ends by itself, with that event or before it
    assert time.monotonic() - began < 10
    assert app.state.live.num_streams == 0
