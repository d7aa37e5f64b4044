"""Streams the answers of a live chat.

Each answer is requested once, streamed to every reader, and stored when complete.
An answer is requested when its turn is first read, and continues when the reader disconnects.
If the server stops before an answer is complete, the next reader requests it again.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

import anyio.to_thread

from fairlead.data.records import Messages
from fairlead.labels import chats, task_kinds
from fairlead.labels.chats import ChatAnswer, ChatTurn
from fairlead.labels.database import Database
from fairlead.studio import safe_html
from fairlead.studio.chat_backends import AnswerError, ChatBackends

HEARTBEAT_S = 15.0
MAX_CONCURRENT = 32  # answers that one process requests at once

log = logging.getLogger(__name__)


class _PartialAnswer:
    """An answer while it is being generated."""

    def __init__(self) -> None:
        self.text = ""
        self.state: Literal["running", "done", "failed"] = "running"
        self.changed = asyncio.Event()

    def notify(self) -> None:
        changed = self.changed
        self.changed = asyncio.Event()
        changed.set()


class ChatStreams:
    """One per app, used on the app's event loop."""

    def __init__(self, database: Database, backends: ChatBackends) -> None:
        self._database = database
        self._backends = backends
        # (turn id, place) -> the answer and the task that generates it
        self._running: dict[tuple[int, int], tuple[_PartialAnswer, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def stream(self, turn: ChatTurn, messages: Messages) -> AsyncIterator[bytes]:
        """Both answers as server-sent events, piece by piece.  Each ends with its HTML, or with `failed`."""
        waiting: dict[int, tuple[_PartialAnswer, int]] = {}  # place -> the answer, characters already sent
        for answer in turn.answers:
            if answer.text is not None:
                yield frame(complete_answer(answer.place, answer.text, answer.finished))
            else:
                waiting[answer.place] = (self._request(turn.id, answer, messages), 0)
        while waiting:
            # Taken before reading, so that no change is missed.
            changes = [partial.changed for partial, _ in waiting.values()]
            for place, (partial, num_sent) in list(waiting.items()):
                if more := partial.text[num_sent:]:
                    yield frame({"letter": task_kinds.letter(place), "more": more})
                    waiting[place] = (partial, num_sent + len(more))
                if partial.state == "done":
                    text, finished = await anyio.to_thread.run_sync(self._read_stored, turn.id, place)
                    yield frame(complete_answer(place, text, finished))
                if partial.state == "failed":
                    yield frame({"letter": task_kinds.letter(place), "failed": True})
                if partial.state != "running":
                    del waiting[place]
            if waiting and not await _wait_for_any(changes, HEARTBEAT_S):
                yield b": still here\n\n"
        yield frame({"end": True})

    async def close(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._backends.close()

    def _request(self, turn_id: int, answer: ChatAnswer, messages: Messages) -> _PartialAnswer:
        """The running request for this answer, or a new one."""
        key = (turn_id, answer.place)
        if key not in self._running:
            partial = _PartialAnswer()
            task = asyncio.create_task(self._generate(key, answer, messages, partial))
            self._running[key] = (partial, task)
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return self._running[key][0]

    async def _generate(
        self, key: tuple[int, int], answer: ChatAnswer, messages: Messages, partial: _PartialAnswer
    ) -> None:
        state: Literal["done", "failed"] = "failed"
        turn_id, place = key
        finished = True
        try:
            pieces = self._backends.answer(answer.source, messages, answer.params)
            async with self._slots, aclosing(pieces):
                async for piece in pieces:
                    partial.text += piece.text
                    finished = piece.finished is not False
                    partial.notify()
            if partial.text.strip():
                await anyio.to_thread.run_sync(self._store, turn_id, place, partial.text, finished)
                state = "done"
            else:
                log.warning("an answer of turn %d was empty", turn_id)
        except AnswerError as error:
            log.warning("an answer of turn %d failed: %s", turn_id, error)
        finally:
            partial.state = state
            partial.notify()

    def _store(self, turn_id: int, place: int, text: str, finished: bool) -> None:
        with self._database.write() as connection:
            chats.store_answer(connection, turn_id, place, text=text, finished=finished)

    def _read_stored(self, turn_id: int, place: int) -> tuple[str, bool | None]:
        with self._database.read() as connection:
            return chats.get_stored_answer(connection, turn_id, place)


def complete_answer(place: int, text: str, finished: bool | None) -> dict[str, Any]:
    return {
        "letter": task_kinds.letter(place),
        "html": str(safe_html.render(text)),
        "text": text,
        "dir": safe_html.direction(text),
        "cut": finished is False,
    }


def frame(fields: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


async def _wait_for_any(events: list[asyncio.Event], timeout_s: float) -> bool:
    """Whether an event was set within the timeout."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    done, pending = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return bool(done)
