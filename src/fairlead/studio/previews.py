"""Previews of what people write: one at a time for each person, rendered in worker processes.

While one is being rendered, only the newest of the person's other previews waits.
"""

import asyncio
from dataclasses import dataclass, field

from fastapi import Request

from fairlead.labels.errors import StudioError
from fairlead.studio import render_pool, safe_html
from fairlead.studio.limits import TooMany

MAX_WAITING = 8  # requests of one person
POLL_S = 0.2  # how often the connection is looked at while a text is rendered


class Superseded(TooMany):
    """The person asked for a newer preview meanwhile."""

    def __init__(self) -> None:
        StudioError.__init__(self, "a newer preview is being made; this one is left out.")
        self.wait_s = 1.0


@dataclass
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    newest: int = 0
    num_requests: int = 0


class Previews:
    def __init__(self) -> None:
        self._turns: dict[int, _Turn] = {}

    async def render(self, request: Request, person_id: int, text: str) -> safe_html.Safe:
        """Raises Superseded when a newer preview of the same person comes before this one is begun."""
        if (known := safe_html.cached(text)) is not None:
            return known
        turn = self._turns.setdefault(person_id, _Turn())
        if turn.num_requests >= MAX_WAITING:
            raise Superseded
        turn.newest += 1
        number = turn.newest
        turn.num_requests += 1
        try:
            async with turn.lock:
                if number != turn.newest:
                    raise Superseded
                return await _render(request, text)
        finally:
            turn.num_requests -= 1
            if turn.num_requests == 0:
                self._turns.pop(person_id, None)


async def _render(request: Request, text: str) -> safe_html.Safe:
    job = render_pool.shared().submit(text)
    result = asyncio.wrap_future(job.result)
    try:
        while not (await asyncio.wait({result}, timeout=POLL_S))[0]:
            if await request.is_disconnected():
                job.cancel()
                raise Superseded  # nobody reads the answer
    except asyncio.CancelledError:
        job.cancel()
        raise
    return safe_html.keep(text, result.result())
