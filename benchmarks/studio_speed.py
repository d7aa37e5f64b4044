"""Response times of the studio (next item, pages, server start) and the size of an installation.

run  python -m benchmarks.studio_speed --json build/speed.json           100,000 items; SQLite and PostgreSQL
     python -m benchmarks.studio_speed --items 2000 --asks 20 --databases sqlite      small
     python -m benchmarks.studio_speed --install --databases --json build/size.json   only the size

The campaign has overlap 2.  A newcomer has judged nothing; an experienced labeller ("old hand") and a second
person have each judged the first half of the items.  The newcomer and the old hand request and judge items
over HTTP, one after the other, on an otherwise idle server.

The server caches dashboard figures.  `figures_first_ms` is measured once after each start, with an empty
cache.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert, select, update

from benchmarks import studio
from fairlead.labels import campaigns
from fairlead.labels.assignments import answer_order, assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, open_database
from fairlead.labels.items import item_table, slot_table
from fairlead.labels.judgements import judgement_table

ROOT = Path(__file__).parents[1]
GOALS_MS = {"next": 100, "list": 200}
CHUNK = 1000
MORE_CAMPAIGNS = 20
ITEM_QUERIES = {
    "oldest": "",
    "newest": "order=newest",
    "priority": "order=priority",
    "last_page": "page=1900",
    "common_word": "q=ship",
    "rare_word": "q=77777",
    "judged": "state=judged",
    "done": "state=done",
    "skipped": "state=skipped",
    "flagged": "state=flagged",
    "disputed": "state=disputed",
}
A_DAY = 400  # judgements of one person


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--asks", type=int, default=300, help="requests per person and per page")
    parser.add_argument(
        "--databases", nargs="*", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"]
    )
    parser.add_argument(
        "--install", action="store_true", help="also install into a new environment and measure its size"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {"settings": {"items": args.items, "asks": args.asks}, "goals_p95_ms": GOALS_MS}
    for kind in args.databases:
        with tempfile.TemporaryDirectory() as name, studio.database_url(kind, Path(name)) as url:
            results[kind] = measure(url, Path(name), args.items, args.asks)
    if args.install:
        results["install"] = install()
    studio.write_json(args.json, results)


def measure(url: str, folder: Path, num_items: int, asks: int) -> dict[str, Any]:
    campaign = studio.make_campaign(url, num_items=num_items, overlap=2, slug="large")
    for number in range(MORE_CAMPAIGNS):
        studio.make_campaign(url, num_items=5, overlap=2, slug=f"small-{number}")
    [(_, newcomer)] = studio.add_people(url, campaign, 1).items()
    (old_hand, token), (another, _) = studio.add_people(url, campaign, 2).items()
    do_half(url, campaign, old_hand, num_items // 2)
    do_half(url, campaign, another, num_items // 2, n=1)
    [(_, lead)] = studio.add_people(url, campaign, 1, role="lead", scopes=("read", "lead")).items()
    starts, figures = [], []
    with studio.serving(url, folder) as [server]:
        for _ in range(5):
            server.stop()
            starts.append(server.start())
            figures += request_times(server.url, "GET", "/api/v1/campaigns/large/progress", lead, 1)
        results: dict[str, Any] = {"start_s": spread(starts), "figures_first_ms": spread(figures)}
        for who, held in (("newcomer", newcomer), ("old_hand", token)):
            results[f"next_{who}_ms"] = next_items(server.url, held, asks)
        items_path = "/api/v1/campaigns/large/items"
        item_lists = [
            (f"items_{name}", "GET", f"{items_path}?{query}", min(asks, 40))
            for name, query in ITEM_QUERIES.items()
        ]
        for name, method, path, count in (
            *item_lists,
            ("items_page", "GET", "/c/large/items?order=newest", min(asks, 40)),
            ("campaigns", "GET", "/api/v1/campaigns", asks),
            ("campaigns_page", "GET", "/campaigns", asks),
            ("figures_again", "GET", "/api/v1/campaigns/large/progress", min(asks, 50)),
            ("snapshot_preview", "POST", "/api/v1/campaigns/large/snapshots/preview", min(asks, 40)),
            ("overlap_3", "PATCH", "/api/v1/campaigns/large", 1),
        ):
            results[f"{name}_ms"] = spread(request_times(server.url, method, path, lead, count))
        results |= work_during_job(server.url, lead, newcomer)
    return results


def work_during_job(url: str, lead: str, token: str) -> dict[str, Any]:
    """A labeller asks for items and judges them, until the job that adds a person to each item ends."""
    campaign_url = f"{url}/api/v1/campaigns/large"
    next_times, save_times = [], []
    begun = time.perf_counter()
    with (
        httpx.Client(headers={"Authorization": f"Bearer {lead}"}, timeout=60) as leading,
        httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client,
    ):
        while any(
            job["kind"] == "overlap" and job["state"] in ("queued", "running")
            for job in leading.get(f"{campaign_url}/jobs").raise_for_status().json()["jobs"]
        ):
            asked = time.perf_counter()
            handed = client.post(f"{campaign_url}/next", json={"count": 1}).raise_for_status().json()
            got = time.perf_counter()
            key = {"Idempotency-Key": f"during-{len(save_times):06}"}
            task = handed["assignments"][0]["token"]
            client.post(
                f"{campaign_url}/tasks/{task}/judgement", json={"value": {"choice": 2}}, headers=key
            ).raise_for_status()
            next_times.append((got - asked) * 1000)
            save_times.append((time.perf_counter() - got) * 1000)
            time.sleep(0.1)
    return {
        "overlap_3_job_s": round(time.perf_counter() - begun, 1),
        "next_during_overlap_3_ms": spread(next_times) if next_times else None,
        "save_during_overlap_3_ms": spread(save_times) if save_times else None,
    }


def do_half(url: str, campaign: Campaign, rater: str, count: int, *, n: int = 0) -> None:
    """Write judgements of the first `count` items, 400 per day, without events.

    The rows are like those that `assignments` and `judgements` write.  `n` is the number of the slot within
    each item.
    """
    opened, ended = open_database(url), datetime.now(UTC)

    def at(seq: int) -> str:
        return format_time(ended - timedelta(days=(count - seq) / A_DAY))

    with opened.write() as connection:
        campaign = campaigns.get_by_id(connection, campaign.id)
        first = (
            select(slot_table.c.id, slot_table.c.item_id)
            .where(slot_table.c.campaign_id == campaign.id, slot_table.c.n == n)
            .order_by(slot_table.c.rank)
            .limit(count)
        )
        rows = connection.execute(first).all()
        for start in range(0, len(rows), CHUNK):
            part = [
                (f"old-{n}-{start + k:08}", start + k, row)
                for k, row in enumerate(rows[start : start + CHUNK])
            ]
            connection.execute(
                insert(assignment_table),
                [
                    {
                        "token": token,
                        "campaign_id": campaign.id,
                        "item_id": row.item_id,
                        "slot_id": row.id,
                        "rater": rater,
                        "seq": seq,
                        "order": list(answer_order(campaign.seed, rater, seq, 2)),
                        "guidelines_version": 1,
                        "leased_at": at(seq),
                        "expires_at": at(seq),
                        "ended_at": at(seq),
                        "how": "judged",
                    }
                    for token, seq, row in part
                ],
            )
            connection.execute(
                insert(judgement_table),
                [
                    {
                        "campaign_id": campaign.id,
                        "item_id": row.item_id,
                        "token": token,
                        "rater": rater,
                        "key": f"key-{token}",
                        "value": {"preference": 1, "tie": None},
                        "margin": 1,
                        "reasons": [],
                        "note": "",
                        "order": [0, 1],
                        "guidelines_version": 1,
                        "active_ms": 20_000,
                        "dwell_ms": {},
                        "ui": {},
                        "late": False,
                        "quick": False,
                        "withdraws": False,
                        "supersedes": None,
                        "made_at": at(seq),
                    }
                    for token, seq, row in part
                ],
            )
            for token, _, row in part:
                connection.execute(
                    update(slot_table).where(slot_table.c.id == row.id).values(state="done", token=token)
                )
        assert len(
            connection.execute(
                select(item_table.c.id).where(item_table.c.campaign_id == campaign.id).limit(count)
            ).all()
        ) == len(rows)
    if not opened.is_sqlite:
        with opened.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(
                "ANALYZE"
            )  # as autovacuum has done on a studio that has run for a while
    opened.close()


def next_items(url: str, token: str, asks: int) -> dict[str, float]:
    times: list[float] = []
    campaign_url = f"{url}/api/v1/campaigns/large"
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for number in range(asks + 1):
            begun = time.perf_counter()
            handed = client.post(f"{campaign_url}/next", json={"count": 1}).raise_for_status().json()
            times.append((time.perf_counter() - begun) * 1000)
            [task] = handed["assignments"]
            key = {"Idempotency-Key": f"speed-{number:06}"}
            client.post(
                f"{campaign_url}/tasks/{task['token']}/judgement", json={"value": {"choice": 2}}, headers=key
            ).raise_for_status()
    return spread(times[1:])  # the first request opens the connection


def request_times(url: str, method: str, path: str, token: str, count: int) -> list[float]:
    """Milliseconds of every request."""
    body = {"PATCH": {"overlap": 3}, "POST": {}}.get(method)
    times = []
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        client.get(url + "/static/studio.css")  # opens the connection
        for _ in range(count):
            begun = time.perf_counter()
            client.request(method, url + path, json=body).raise_for_status()
            times.append((time.perf_counter() - begun) * 1000)
    return times


def spread(values: list[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {
        "n": len(values),
        **{name: round(studio.percentile(values, share), 2) for name, share in shares.items()},
    }


def install() -> dict[str, Any]:
    """Size and import time of `pip install fairlead` without extras, in a new environment."""
    with tempfile.TemporaryDirectory() as name:
        venv.create(name, with_pip=True)
        python = Path(name) / "bin" / "python"
        before = size_mb(Path(name))
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT)], check=True
        )
        after = size_mb(Path(name))
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
        ).stdout.split()
        packages = sorted(line.partition("==")[0].lower() for line in listed)
        assert "torch" not in packages and "transformers" not in packages, packages
        begun = time.monotonic()
        subprocess.run(
            [python, "-c", "import fairlead.studio.app"],
            check=True,
            cwd=name,
            env=os.environ | {"PYTHONPATH": ""},
        )
        return {
            "installed_mb": round(after - before, 1),
            "packages": len(packages),
            "first_import_s": round(time.monotonic() - begun, 2),
            "python": sys.version.split()[0],
        }


def size_mb(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
