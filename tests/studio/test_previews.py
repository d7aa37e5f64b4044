"""Previews: one at a time for each person, and none for a client that has gone."""

import asyncio
from typing import Any

import pytest

from fairlead.studio import previews, render_pool
from fairlead.studio.previews import Previews, Superseded
from fairlead.studio.render_pool import Job


class Pool:
    """Renders nothing until `finish`."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, Job]] = []

    def submit(self, text: str) -> Job:
        job = Job()
        self.jobs.append((text, job))
        return job

    def finish(self, index: int) -> None:
        text, job = self.jobs[index]
        job.result.set_result(f"<p>{text}</p>")


class Client:
    is_gone = False

    async def is_disconnected(self) -> bool:
        return self.is_gone


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    opened = Pool()
    monkeypatch.setattr(render_pool, "shared", lambda: opened)
    monkeypatch.setattr(previews, "POLL_S", 0.01)
    return opened


async def settled(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_one_person_has_one_at_a_time_and_the_newest_waits(pool: Pool) -> None:
    async def run() -> None:
        asked: Any = Previews()
        client = Client()
        mine = [asyncio.create_task(asked.render(client, 1, f"one {n}")) for n in range(12)]
        other = asyncio.create_task(asked.render(client, 2, "two"))
        await asyncio.sleep(0.02)
        assert [text for text, _ in pool.jobs] == ["one 0", "two"]
        pool.finish(0)
        await asyncio.sleep(0.05)
        assert [text for text, _ in pool.jobs] == ["one 0", "two", "one 7"]
        pool.finish(1)
        pool.finish(2)
        said = await settled(mine)
        assert said[0] == "<p>one 0</p>" and said[7] == "<p>one 7</p>" and await other == "<p>two</p>"
        assert all(isinstance(said[n], Superseded) for n in range(12) if n not in (0, 7))
        assert await asked.render(client, 1, "one 7") == "<p>one 7</p>"  # known
        assert asked._turns == {}

    asyncio.run(run())


def test_a_client_that_has_gone_gets_no_preview(pool: Pool) -> None:
    async def run() -> None:
        asked: Any = Previews()
        client = Client()
        task = asyncio.create_task(asked.render(client, 1, "gone"))
        await asyncio.sleep(0.02)
        client.is_gone = True
        [said] = await settled([task])
        assert isinstance(said, Superseded) and pool.jobs[0][1]._is_cancelled
        again = asyncio.create_task(asked.render(Client(), 1, "again"))
        await asyncio.sleep(0.02)
        pool.finish(1)
        assert await again == "<p>again</p>"

    asyncio.run(run())
