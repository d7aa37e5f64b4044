"""How long saves take while one person abuses the studio, compared with the same work without that person.

run  python -m benchmarks.studio_abuser --json build/abuser.json
     python -m benchmarks.studio_abuser --labellers 10 --seconds 20 --seeds 0 --databases sqlite       small

The labellers send what a browser sends: they ask for the next tasks, save a draft while they think, and send
the judgement.  They pause for 4 to 12 seconds before each draft and each judgement.

The abuser is a lead with a token, at the same network address and in a process of its own.  At the same time,
and without pauses, the abuser
- renders texts of the greatest length, each of another content, in 8 requests at a time;
- uploads files of 32 MiB, in 2 requests at a time;
- opens connections that send their headers one line per second, and others that send a body as slowly.
"""

import argparse
import asyncio
import contextlib
import io
import multiprocessing
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks import studio

GOAL_MS = 250  # 95th percentile of a save with an abuser
PAUSE_S = (4.0, 12.0)
NUM_RENDERS = 8
NUM_UPLOADS = 2
NUM_OPENERS = 8  # each opens slow connections one after the other
MAX_SLOW = 2000  # slow connections that the abuser keeps at a time
UPLOAD_BYTES = 32 * 1024 * 1024
LONGEST_TEXT = 100_000


@dataclass
class Abuse:
    """What the abuser reached."""

    answers: Counter[str] = field(default_factory=Counter)  # "render 200" -> number
    num_slow: int = 0  # slow connections opened


@dataclass
class Work:
    save_ms: list[float] = field(default_factory=list)
    next_ms: list[float] = field(default_factory=list)
    num_retries: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labellers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120, help="duration with and without the abuser")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="one pair for each")
    parser.add_argument(
        "--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"]
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {"settings": {k: v for k, v in vars(args).items() if k != "json"}}
    results["goal_p95_ms"] = GOAL_MS
    for kind in args.databases:
        pairs = {str(seed): compare(kind, args.labellers, args.seconds, seed) for seed in args.seeds}
        results[kind] = {"save_p95_ms": _summary(pairs, "save_p95_ms"), "by_seed": pairs}
    studio.write_json(args.json, results)


def compare(kind: str, num_labellers: int, seconds: float, seed: int) -> dict[str, Any]:
    """The same work on a new database without the abuser, and with the abuser."""
    results = {}
    for name, is_abused in (("without", False), ("with", True)):
        with tempfile.TemporaryDirectory() as folder, studio.database_url(kind, Path(folder)) as url:
            results[name] = measure(url, Path(folder), num_labellers, seconds, seed, is_abused)
    return results


def _summary(pairs: dict[str, dict[str, Any]], name: str) -> dict[str, dict[str, float]]:
    """The median, the lowest and the highest of a figure over the seeds, without and with the abuser."""
    summary = {}
    for phase in ("without", "with"):
        values = [pair[phase][name] for pair in pairs.values()]
        summary[phase] = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return summary


def measure(
    url: str, folder: Path, num_labellers: int, seconds: float, seed: int, is_abused: bool
) -> dict[str, Any]:
    campaign = studio.make_campaign(url, num_items=2000, overlap=2)
    tokens = list(studio.add_people(url, campaign, num_labellers).values())
    [abuser] = studio.add_people(url, campaign, 1, role="lead", scopes=("label", "lead", "read")).values()
    work, abuse = Work(), Abuse()
    with studio.serving(url, folder) as [server]:
        with _abusing(server.url, abuser, seed, abuse) if is_abused else contextlib.nullcontext():
            asyncio.run(_run(server.url, tokens, work, seconds, seed))
        log = server.log.read_text()
    assert "database is locked" not in log and "Traceback" not in log, log[-3000:]
    assert work.wrong == [], work.wrong[:3]
    return {
        "num_saves": len(work.save_ms),
        "num_retries": work.num_retries,
        "num_requests_of_abuser": dict(sorted(abuse.answers.items())),
        "num_slow_connections": abuse.num_slow,
        **_spread("save", work.save_ms),
        **_spread("next", work.next_ms),
    }


def _spread(name: str, times: list[float]) -> dict[str, float]:
    return {
        f"{name}_p50_ms": round(studio.percentile(times, 0.5), 1),
        f"{name}_p95_ms": round(studio.percentile(times, 0.95), 1),
        f"{name}_max_ms": round(max(times), 1),
    }


async def _run(url: str, tokens: list[str], work: Work, seconds: float, seed: int) -> None:
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            group.create_task(_label(url, token, work, random.Random(f"{seed}/{number}"), end))


@contextlib.contextmanager
def _abusing(url: str, token: str, seed: int, abuse: Abuse) -> Iterator[None]:
    """The abuser at work, in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_abuse, args=(url, token, seed, theirs))
    process.start()
    try:
        yield
    finally:
        ours.send("stop")
        if ours.poll(60):
            answers, abuse.num_slow = ours.recv()
            abuse.answers.update(answers)
        process.join(10)
        process.kill()


# ---------------------------------------------------------------- labellers


async def _label(url: str, token: str, work: Work, rng: random.Random, end: float) -> None:
    async with httpx.AsyncClient(
        base_url=f"{url}/api/v1/campaigns/storm",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ) as client:
        await asyncio.sleep(rng.random() * PAUSE_S[1])
        while time.monotonic() < end:
            handed = await _ask(client, work, work.next_ms, "POST", "/next", json={"count": 2})
            task = handed["assignments"][0]["token"]
            await asyncio.sleep(rng.uniform(*PAUSE_S))
            draft = {"note": "A word. " * rng.randrange(1, 50)}
            await _ask(client, work, work.save_ms, "PUT", f"/tasks/{task}/draft", json=draft)
            await asyncio.sleep(rng.uniform(*PAUSE_S))
            body = {"value": {"choice": rng.randrange(1, 9)}, "active_ms": 10_000}
            key = {"Idempotency-Key": f"{rng.getrandbits(128):032x}"}
            await _ask(client, work, work.save_ms, "POST", f"/tasks/{task}/judgement", json=body, headers=key)


async def _ask(
    client: httpx.AsyncClient, work: Work, times: list[float], method: str, path: str, **more: Any
) -> Any:
    """The answer; a lost connection or a refusal for load is tried again, and its time counts."""
    begun = time.monotonic()
    while True:
        try:
            answer = await client.request(method, path, **more)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code != 503:
            break
        work.num_retries += 1
        await asyncio.sleep(0.05)
    times.append((time.monotonic() - begun) * 1000)
    if not answer.is_success:
        work.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    return answer.json() if answer.content else None


# ---------------------------------------------------------------- the abuser


def _abuse(url: str, token: str, seed: int, parent: Connection) -> None:
    abuse = Abuse()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_abuse_until_stopped(url, token, seed, abuse, parent))
    parent.send((dict(abuse.answers), abuse.num_slow))


async def _abuse_until_stopped(url: str, token: str, seed: int, abuse: Abuse, parent: Connection) -> None:
    slow: set[asyncio.Task[None]] = set()
    tasks = [
        *(_render(url, token, abuse, random.Random(f"{seed}/render/{n}")) for n in range(NUM_RENDERS)),
        *(_upload(url, token, abuse) for _ in range(NUM_UPLOADS)),
        *(_open_slowly(url, abuse, slow) for _ in range(NUM_OPENERS)),
    ]
    running = [asyncio.create_task(task) for task in tasks]
    while not parent.poll():
        await asyncio.sleep(0.2)
    for task in (*running, *slow):
        task.cancel()


async def _render(url: str, token: str, abuse: Abuse, rng: random.Random) -> None:
    words = ["**bold**", "$x^2 + \\frac{1}{2}$", "`code`", "- a\n- b\n", "[link](https://example.org)"]
    async with _client(url, token) as client:
        while True:
            text = " ".join(rng.choices(words, k=LONGEST_TEXT // 20))[:LONGEST_TEXT]
            await _count(abuse, "render", client.post("/api/v1/campaigns/storm/preview", json={"text": text}))


async def _upload(url: str, token: str, abuse: Abuse) -> None:
    row = b'{"prompt": "Which?", "chosen": "This.", "rejected": "That."}\n'
    content = row * (UPLOAD_BYTES // len(row))
    async with _client(url, token) as client:
        while True:
            given = {"file": ("rows.jsonl", io.BytesIO(content))}
            await _count(abuse, "upload", client.post("/api/v1/uploads", files=given))


def _client(url: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


async def _count(abuse: Abuse, name: str, request: Any) -> None:
    try:
        answer = await request
    except httpx.TransportError as error:
        abuse.answers[f"{name} {type(error).__name__}"] += 1
        await asyncio.sleep(0.01)
    else:
        abuse.answers[f"{name} {answer.status_code}"] += 1


async def _open_slowly(url: str, abuse: Abuse, slow: set[asyncio.Task[None]]) -> None:
    parts = urlsplit(url)
    while True:
        if len(slow) >= MAX_SLOW:
            await asyncio.sleep(0.01)
            continue
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        abuse.num_slow += 1
        task = asyncio.create_task(_drip(reader, writer, has_body=abuse.num_slow % 2 == 0))
        slow.add(task)
        task.add_done_callback(slow.discard)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, has_body: bool) -> None:
    """Send a request a line at a time, until the server ends the connection."""
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    end = b"Content-Length: 100000\r\n\r\n" if has_body else b""
    with contextlib.suppress(OSError):
        writer.write(head + end)
        ended = asyncio.ensure_future(_until_end(reader))
        while not ended.done():
            await writer.drain()
            await asyncio.wait([ended], timeout=1.0)
            writer.write(b" " if has_body else b"X-Slow: 1\r\n")
    writer.close()


async def _until_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        await reader.read()


if __name__ == "__main__":
    main()
