"""Live answers on their way: asked once, streamed to whoever looks, kept when they are complete.

An answer is asked for when its turn is first looked at, and goes on when the looker is gone.  If the server stops before it is complete,
the next look asks again.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio.to_thread

from fairlead.data.records import Messages
from fairlead.labels import chats, task_kinds
from fairlead.labels.chats import ChatAnswer, ChatTurn
from fairlead.labels.database import Database
from fairlead.studio import render
from fairlead.studio.chat_backends import AnswerError, Answerers

HEARTBEAT_S = 15.0
MOST_AT_ONCE = 32  # answers of one process

log = logging.getLogger(__name__)


class _Answering:
    def __init__(self) -> None:
        self.text = ""
        self.state = "running"  # then done, or failed
        self.news = asyncio.Event()

    def tell(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class Talks:
    """One for each app, used on its event loop."""

    def __init__(self, database: Database, answerers: Answerers) -> None:
        self._database, self._answerers = database, answerers
        self._running: dict[tuple[int, int], tuple[_Answering, asyncio.Task[None]]] = {}
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    async def stream(self, turn: ChatTurn, messages: Messages) -> AsyncIterator[bytes]:
        """Both answers as server-sent events, piece by piece; each ends with its HTML, or with `failed`."""
        waiting = {}
        for given in turn.answers:
            if given.text is not None:
                yield frame(complete(given.place, given.text, given.finished))
            else:
                waiting[given.place] = (self._ask(turn.id, given, messages), 0)
        while waiting:
            events = [
                answering.news for answering, _ in waiting.values()
            ]  # before reading, so that nothing comes unseen
            for place, (answering, told) in list(waiting.items()):
                if new := answering.text[told:]:
                    yield frame({"letter": task_kinds.letter(place), "more": new})
                    waiting[place] = (answering, told + len(new))
                if answering.state == "done":
                    text, finished = await anyio.to_thread.run_sync(self._kept, turn.id, place)
                    yield frame(complete(place, text, finished))
                if answering.state == "failed":
                    yield frame({"letter": task_kinds.letter(place), "failed": True})
                if answering.state != "running":
                    del waiting[place]
            if waiting and not await _any_of(events, HEARTBEAT_S):
                yield b": still here\n\n"
        yield frame({"end": True})

    async def close(self) -> None:
        for _, task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)
        await self._answerers.close()

    def _ask(self, turn_id: int, given: ChatAnswer, messages: Messages) -> _Answering:
        key = (turn_id, given.place)
        if key not in self._running:
            answering = _Answering()
            task = asyncio.create_task(self._answer(key, given, messages, answering))
            self._running[key] = (answering, task)
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return self._running[key][0]

    async def _answer(
        self, key: tuple[int, int], given: ChatAnswer, messages: Messages, answering: _Answering
    ) -> None:
        state = "failed"
        try:
            finished = True
            async with (
                self._room,
                aclosing(self._answerers.answer(given.source, messages, given.params)) as pieces,
            ):
                async for piece in pieces:
                    answering.text += piece.text
                    finished = piece.finished is not False
                    answering.tell()
            if answering.text.strip():
                await anyio.to_thread.run_sync(self._keep, key, answering.text, finished)
                state = "done"
            else:
                log.warning("an answer of turn %d was empty", key[0])
        except AnswerError as error:
            log.warning("an answer of turn %d could not be had: %s", key[0], error)
        finally:
            answering.state = state
            answering.tell()

    def _keep(self, key: tuple[int, int], text: str, finished: bool) -> None:
        with self._database.write() as connection:
            chats.store_answer(connection, *key, text=text, finished=finished)

    def _kept(self, turn_id: int, place: int) -> tuple[str, bool | None]:
        with self._database.read() as connection:
            return chats.get_stored_answer(connection, turn_id, place)


def complete(place: int, text: str, finished: bool | None) -> dict[str, Any]:
    html = str(render.render(text))
    return {
        "letter": task_kinds.letter(place),
        "html": html,
        "text": text,
        "dir": render.direction(text),
        "cut": finished is False,
    }


def frame(said: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(said, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


async def _any_of(events: list[asyncio.Event], timeout_s: float) -> bool:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    done, left = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    return bool(done)
