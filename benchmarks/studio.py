"""Shared by the studio benchmarks: a server process, people with tokens, a campaign, percentiles.

Servers are real `fairlead studio serve` processes.  Databases are SQLite files or a temporary PostgreSQL
server.
"""

import contextlib
import json
import math
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests import postgres

from fairlead.data.records import Message
from fairlead.labels import campaigns, credentials, items, members, people, schema
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import now, open_database
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.store.project import create_project


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def machine() -> dict[str, str]:
    packages = {name: version(name) for name in ("fastapi", "uvicorn", "sqlalchemy", "httpx")}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(os.cpu_count()),
        **packages,
    }


@contextlib.contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """An empty database with all tables: `sqlite`, or `postgresql` with durable commits."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder / 'studio.db'}"
        if kind == "postgresql":
            url = stack.enter_context(postgres.running(durable=True)).url("postgres")
        opened = open_database(url)
        schema.upgrade(opened)
        opened.close()
        yield url


def make_campaign(
    url: str, *, num_items: int, overlap: int, slug: str = "storm", lease_s: int = 1800
) -> Campaign:
    """An open pairwise campaign."""
    opened = open_database(url)
    rows = (
        NewItem(
            (Message("user", f"Which of these is the better name for ship number {n}?"),),
            tuple(
                CandidateAnswer(
                    (Message("assistant", f"I would call it **{name} {n}**, as it sounds `right`."),)
                )
                for name in ("Hope", "Wind")
            ),
        )
        for n in range(num_items)
    )
    with opened.write() as connection:
        campaign = campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name=slug, slug=slug, kind="pairwise", overlap=overlap, guidelines="Be fair.", lease_s=lease_s
            ),
            by="system",
        )
        items.add(connection, campaign, rows, by="system")
        campaign = campaigns.set_state(connection, campaign, "open", by="system")
    opened.close()
    return campaign


def add_people(
    url: str, campaign: Campaign, count: int, *, role: str = "labeller", scopes: Sequence[str] = ("label",)
) -> dict[str, str]:
    """rater -> token."""
    opened = open_database(url)
    tokens = {}
    with opened.write() as connection:
        for number in range(count):
            rater = people.add(connection, name=f"Person {number}", by="system")
            members.join(connection, rater, campaign.id, role, by="system")
            _, token = credentials.create_token(connection, rater, name="benchmark", scopes=scopes, at=now())
            tokens[rater.rater] = token
    opened.close()
    return tokens


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Server:
    """`fairlead studio serve` on a fixed port, which a restart keeps."""

    def __init__(self, url: str, folder: Path) -> None:
        self._database, self._folder, self._port = url, folder, free_port()
        if not (folder / "fairlead.toml").exists():
            create_project(folder)
        self.url = f"http://127.0.0.1:{self._port}"
        self.num_kills = 0
        self.log = folder / f"server-{self._port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the server and return the seconds until it accepts requests."""
        begun = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "fairlead",
            "studio",
            "serve",
            "--json",
            "--port",
            str(self._port),
            "--project",
            str(self._folder),
        ]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--database", self._database], stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log.read_text()[-2000:]
        assert json.loads(line)["url"] == self.url
        return time.monotonic() - begun

    def kill(self) -> None:
        """End the process at once, like a power cut."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)
        self.num_kills += 1
        if self._process.stdout:
            self._process.stdout.close()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=15)
        if self._process is not None and self._process.stdout:
            self._process.stdout.close()


@contextlib.contextmanager
def serving(url: str, folder: Path, *, processes: int = 1) -> Iterator[list[Server]]:
    servers = [Server(url, folder) for _ in range(processes)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


def write_json(path: Path | None, results: dict[str, Any]) -> None:
    print(json.dumps(results, indent=2))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n", encoding="utf-8")
