"""Streams the answers of a live chat.

Each answer is requested once, streamed to every reader, and stored when complete.
An answer is requested when its turn is first read, and continues when the reader disconnects.
If the server stops before an answer is complete, the next reader requests it again.

Speed must not tell the models apart.  A reader gets both answers in step: as many characters of one as of the
other, at one pace for every backend, and no more than the slower backend has written.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection
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
CHARS_PER_S = 400.0  # about 100 tokens a second: slower than most backends, faster than people read
TICK_S = 0.05
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

    def __init__(
        self, database: Database, backends: ChatBackends, *, chars_per_s: float = CHARS_PER_S
    ) -> None:
        self._database = database
        self._chars_per_tick = max(1, round(chars_per_s * TICK_S))
        self._backends = backends
        # (turn id, place) -> the answer and the task that generates it
        self._running: dict[tuple[int, int], tuple[_PartialAnswer, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def stream(self, turn: ChatTurn, messages: Messages) -> AsyncIterator[bytes]:
        """Both answers as server-sent events, piece by piece.  Each ends with its HTML, or with `failed`."""
        if all(answer.text is not None for answer in turn.answers):
            for answer in turn.answers:
                assert answer.text is not None
                yield frame(complete_answer(answer.place, answer.text, answer.finished))
            yield frame({"end": True})
            return
        waiting = {answer.place: self._partial(turn.id, answer, messages) for answer in turn.answers}
        shown = 0  # characters of each answer that the reader has
        while waiting:
            # Taken before reading, so that no change is missed.
            changes = [partial.changed for partial in waiting.values()]
            bound = _readable(waiting.values())
            before, shown = shown, min(shown + self._chars_per_tick, bound)
            for place, partial in list(waiting.items()):
                if more := partial.text[before:shown]:
                    yield frame({"letter": task_kinds.letter(place), "more": more})
                if partial.state == "running" or (partial.state == "done" and shown < len(partial.text)):
                    continue
                if partial.state == "done":
                    text, finished = await anyio.to_thread.run_sync(self._read_stored, turn.id, place)
                    yield frame(complete_answer(place, text, finished))
                else:
                    yield frame({"letter": task_kinds.letter(place), "failed": True})
                del waiting[place]
            if shown < bound:
                await asyncio.sleep(TICK_S)
            elif waiting and not await _wait_for_any(changes, HEARTBEAT_S):
                yield b": still here\n\n"
        yield frame({"end": True})

    async def close(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._backends.close()

    def _partial(self, turn_id: int, answer: ChatAnswer, messages: Messages) -> _PartialAnswer:
        if answer.text is None:
            return self._request(turn_id, answer, messages)
        partial = _PartialAnswer()
        partial.text, partial.state = answer.text, "done"
        return partial

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


def _readable(partials: Collection[_PartialAnswer]) -> int:
    """How many characters of each answer a reader may have: those that every running answer has reached."""
    running = [len(partial.text) for partial in partials if partial.state == "running"]
    return min(running) if running else max(len(partial.text) for partial in partials)


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
