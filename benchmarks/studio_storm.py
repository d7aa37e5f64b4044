"""Many labellers at once while servers are killed: whether any item is served twice or any judgement lost.

run  python -m benchmarks.studio_storm --json build/storm.json      200 labellers, 10,000 leases, five kills
     python -m benchmarks.studio_storm --labellers 20 --items 60 --kills 2       small

Every labeller requests two assignments over HTTP, then judges, skips or releases.  Unacknowledged requests
are sent again, as the labelling screen does.  Meanwhile a server is killed with SIGKILL after a random
number of acknowledged judgements, and restarted.  On PostgreSQL, two server processes share the load.
Afterwards the database is compared with the acknowledgements.

Then 50 writers save drafts once per second, like people who type, and then as fast as the server allows.

Last, 50 labellers pause as people do while one person renders, uploads and opens slow connections as fast as
the server allows, see `studio_abuser`.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from benchmarks import studio, studio_abuser
from fairlead.labels import events, judgements
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, open_database, parse_time
from fairlead.labels.judgements import judgement_table

PATIENCE_S = 900.0  # for the whole benchmark
CHOICES = range(1, 9)


@dataclass
class Ledger:
    """What the servers acknowledged to their clients."""

    judged: dict[str, tuple[int, str, str, int]] = field(
        default_factory=dict
    )  # key -> judgement, rater, token, choice
    tokens: set[str] = field(default_factory=set)  # of assignments that were given out
    num_retries: int = 0
    wrong: list[str] = field(default_factory=list)  # unexpected error responses
    next_ms: list[float] = field(default_factory=list)
    save_ms: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labellers", type=int, default=200)
    parser.add_argument("--items", type=int, default=3400)
    parser.add_argument("--overlap", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30, help="duration of each writing phase")
    parser.add_argument("--abused-s", type=float, default=120, help="duration of the phase with an abuser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"]
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {"settings": {k: v for k, v in vars(args).items() if k != "json"}}
    for kind in args.databases:
        with tempfile.TemporaryDirectory() as name, studio.database_url(kind, Path(name)) as url:
            results[kind] = storm(
                url, Path(name), args.labellers, args.items, args.overlap, args.kills, args.seed
            )
        with tempfile.TemporaryDirectory() as name, studio.database_url(kind, Path(name)) as url:
            results[kind]["writers"] = writers(url, Path(name), args.writers, args.seconds)
        results[kind]["abuser"] = studio_abuser.compare(kind, args.writers, args.abused_s, args.seed)
    studio.write_json(args.json, results)
    if wrong := [
        f"{kind}: {name} {results[kind][name]}"
        for kind in args.databases
        for name in WRONG
        if results[kind][name]
    ]:
        raise SystemExit("; ".join(wrong))


def storm(
    url: str, folder: Path, num_labellers: int, num_items: int, overlap: int, num_kills: int, seed: int
) -> dict[str, Any]:
    campaign = studio.make_campaign(url, num_items=num_items, overlap=overlap)
    tokens = studio.add_people(url, campaign, num_labellers)
    ledger, processes = Ledger(), 1 if url.startswith("sqlite") else 2
    with studio.serving(url, folder, processes=processes) as servers:
        begun = time.monotonic()
        asyncio.run(_storm(servers, tokens, ledger, num_items * overlap, num_kills, seed))
        took_s = time.monotonic() - begun
        logs = "".join(server.log.read_text() for server in servers)
        killed = sum(server.num_kills for server in servers)
    assert killed == num_kills, f"{killed} of {num_kills} kills happened"
    assert "database is locked" not in logs and "deadlock" not in logs, logs[-4000:]
    assert ledger.wrong == [], ledger.wrong[:5]
    opened = open_database(url)
    counts = check(opened, campaign, ledger, overlap)
    opened.close()
    assert counts["num_judgements"] == num_items * overlap, counts
    return {
        **counts,
        "took_s": round(took_s, 1),
        "processes": processes,
        "kills": killed,
        "retries": ledger.num_retries,
        "next_p50_ms": round(studio.percentile(ledger.next_ms, 0.5), 1),
        "next_p95_ms": round(studio.percentile(ledger.next_ms, 0.95), 1),
        "save_p50_ms": round(studio.percentile(ledger.save_ms, 0.5), 1),
        "save_p95_ms": round(studio.percentile(ledger.save_ms, 0.95), 1),
    }


async def _storm(
    servers: list[studio.Server],
    tokens: dict[str, str],
    ledger: Ledger,
    wanted: int,
    num_kills: int,
    seed: int,
) -> None:
    rng = random.Random(seed)
    moments = sorted(
        rng.sample(range(wanted // 20, max(wanted * 9 // 10, wanted // 20 + num_kills)), num_kills)
    )
    end = time.monotonic() + PATIENCE_S
    async with asyncio.TaskGroup() as group:
        group.create_task(_kills(servers, ledger, moments, rng, end))
        for rater, token in tokens.items():
            group.create_task(
                _labeller(rater, token, servers, ledger, wanted, random.Random(f"{seed}/{rater}"), end)
            )


async def _kills(
    servers: list[studio.Server], ledger: Ledger, moments: list[int], rng: random.Random, end: float
) -> None:
    for wanted in moments:
        while len(ledger.judged) < wanted and time.monotonic() < end:
            await asyncio.sleep(0.005)
        await asyncio.sleep(rng.random() * 0.05)
        server = rng.choice(servers)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)


async def _labeller(
    rater: str,
    token: str,
    servers: list[studio.Server],
    ledger: Ledger,
    wanted: int,
    rng: random.Random,
    end: float,
) -> None:
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=60, limits=limits
    ) as client:

        async def ask(method: str, path: str, times: list[float] | None = None, **more: Any) -> Any:
            """Repeat the request until a server answers; writes are idempotent."""
            while time.monotonic() < end:
                begun = time.monotonic()
                try:
                    address = f"{rng.choice(servers).url}/api/v1/campaigns/storm{path}"
                    answer = await client.request(method, address, **more)
                except httpx.TransportError:
                    ledger.num_retries += 1
                    await asyncio.sleep(0.05 + rng.random() * 0.2)
                    continue
                if answer.is_success:
                    if times is not None:
                        times.append((time.monotonic() - begun) * 1000)
                    return answer.json() if answer.content else None
                ledger.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                return None
            raise TimeoutError(f"the storm took longer than {PATIENCE_S} s")

        while len(ledger.judged) < wanted:
            handed = await ask("POST", "/next", ledger.next_ms, json={"count": 2})
            if handed is None:
                return
            if not handed["assignments"]:
                await asyncio.sleep(0.1 + rng.random() * 0.2)
                continue
            ledger.tokens.update(task["token"] for task in handed["assignments"])
            task = handed["assignments"][0]["token"]
            act = rng.random()
            if act < 0.03:
                await ask("POST", f"/tasks/{task}/release")
            elif act < 0.05:
                await ask("POST", f"/tasks/{task}/skip", json={"reason": "unclear"})
            else:
                choice, key = rng.choice(CHOICES), f"{rng.getrandbits(128):032x}"
                body = {"value": {"choice": choice}, "active_ms": rng.randrange(60_000)}
                judgement = await ask(
                    "POST",
                    f"/tasks/{task}/judgement",
                    ledger.save_ms,
                    json=body,
                    headers={"Idempotency-Key": key},
                )
                if judgement is not None:
                    ledger.judged[key] = (judgement["id"], rater, task, choice)


def check(opened: Database, campaign: Campaign, ledger: Ledger, overlap: int) -> dict[str, Any]:
    """Compare the database with the ledger and count every kind of error."""
    with opened.read() as connection:
        verdict = events.verify(connection)
        stored = {
            row.key: row
            for row in connection.execute(
                select(judgement_table).where(judgement_table.c.campaign_id == campaign.id)
            )
        }
        handed = connection.execute(
            select(assignment_table).where(assignment_table.c.campaign_id == campaign.id)
        ).all()
        stands = judgements.list_current(connection, campaign.id)
    lasting: dict[int, list[str]] = defaultdict(list)  # item -> raters who hold or judged it
    by_slot: dict[int, list[Any]] = defaultdict(list)
    for row in handed:
        if row.how in (None, "judged"):
            lasting[row.item_id].append(row.rater)
        by_slot[row.slot_id].append(row)
    # PostgreSQL reads the clock before it locks the row, so successive leases of a slot may overlap briefly.
    tolerance_s = 0.0 if opened.is_sqlite else 1.0
    return {
        "num_leases": len(handed),
        "num_acknowledged": len(ledger.judged),
        "num_judgements": len(stands),
        "num_events": verdict.num_events,
        "lost": sum(not same(stored.get(key), *judgement) for key, judgement in ledger.judged.items()),
        "forgotten": len(ledger.tokens - {row.token for row in handed}),
        "beyond_overlap": sum(
            len(raters) > overlap or len(set(raters)) < len(raters) for raters in lasting.values()
        ),
        "held_by_two": sum(early(holders, tolerance_s) for holders in by_slot.values()),
        "broken_chain": verdict.problem,
    }


WRONG = (
    "lost",
    "forgotten",
    "beyond_overlap",
    "held_by_two",
    "broken_chain",
)  # counts that must be zero


def same(row: Any, number: int, rater: str, token: str, choice: int) -> bool:
    """Whether the stored judgement equals the acknowledged one."""
    if row is None or (row.id, row.rater, row.token) != (number, rater, token):
        return False
    sign = 1 if row.order[0] == 0 else -1
    return bool(row.value["preference"] == sign * {1: 3, 2: 2, 3: 1, 4: 0, 5: 0, 6: -1, 7: -2, 8: -3}[choice])


def early(holders: list[Any], tolerance_s: float) -> int:
    """Number of times a slot was leased again before its holder had released it."""
    holders.sort(key=lambda row: row.leased_at)
    return sum(
        first.ended_at is None
        or first.how == "judged"
        or (parse_time(first.ended_at) - parse_time(second.leased_at)).total_seconds() > tolerance_s
        for first, second in itertools.pairwise(holders)
    )


# ---------------------------------------------------------------- writers


def writers(url: str, folder: Path, num_writers: int, seconds: float) -> dict[str, Any]:
    """Milliseconds per saved draft: each writer once per second, and then without a pause."""
    campaign = studio.make_campaign(url, num_items=num_writers, overlap=1)
    tokens = list(studio.add_people(url, campaign, num_writers).values())
    results: dict[str, Any] = {}
    with studio.serving(url, folder) as servers:
        for name, every_s in (("once_a_second", 1.0), ("without_pause", 0.0)):
            times, wrong = asyncio.run(_write(servers[0].url, tokens, seconds, every_s))
            assert wrong == [], wrong[:3]
            results[name] = {
                "num_saves": len(times),
                "per_s": round(len(times) / seconds, 1),
                "p50_ms": round(studio.percentile(times, 0.5), 1),
                "p95_ms": round(studio.percentile(times, 0.95), 1),
                "max_ms": round(max(times), 1),
            }
        log = servers[0].log.read_text()
    assert "database is locked" not in log, log[-2000:]
    return results


async def _write(
    url: str, tokens: list[str], seconds: float, every_s: float
) -> tuple[list[float], list[str]]:
    times: list[float] = []
    wrong: list[str] = []

    async def write(number: int, token: str) -> None:
        async with httpx.AsyncClient(
            base_url=f"{url}/api/v1/campaigns/storm", headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as client:
            task = (
                (await client.post("/next", json={"count": 1}))
                .raise_for_status()
                .json()["assignments"][0]["token"]
            )
            await asyncio.sleep(every_s * number / len(tokens))
            end, typed = time.monotonic() + seconds, ""
            while (begun := time.monotonic()) < end:
                typed += "A word. "
                answer = await client.put(f"/tasks/{task}/draft", json={"note": typed[-2000:]})
                took = time.monotonic() - begun
                times.append(took * 1000)
                if not answer.is_success:
                    wrong.append(f"{answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(max(0.0, every_s - took))

    async with asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            group.create_task(write(number, token))
    return times, wrong


if __name__ == "__main__":
    main()
