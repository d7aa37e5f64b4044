"""A real server over a populated database, and real browsers with logged-in users.

    def test_something(studio, browse):
        campaign = studio.campaign("pairwise", items=3)
        ada = studio.person("Ada", campaign, role="labeller")
        page = browse(ada, viewport={"width": 360, "height": 740})
        page.goto(f"{studio.url}/c/{campaign.slug}/label")

One server per database serves the whole session, one Chromium serves a module.  Every test creates its own
campaigns and people.
"""

import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright

import get_chromium
from databases import Copies, Files
from fairlead.data.records import Message
from fairlead.labels import campaigns, credentials, items, judgements, members, people, task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database, now, open_database
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.judgements import Judgement
from fairlead.labels.people import Person
from fairlead.store.artifact import Artifact, Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project
from fairlead.studio.app import create_app
from fairlead.studio.auth import COOKIE
from fairlead.studio.chat_streams import ChatStreams
from fairlead.studio.settings import Settings

SHOWN_WITHIN_MS = 20_000  # a busy machine takes longer; tests of speed measure it themselves
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
GUIDELINES = (
    "# What helps\n\nPrefer the answer that is **right**, then the one that is shorter.\n\n- No guessing.\n"
)


class Studio:
    """The server's address, and what stands in its database."""

    def __init__(self, url: str, database: Database, chat_streams: ChatStreams, project: Project) -> None:
        self.url, self.database, self.chat_streams, self.project = url, database, chat_streams, project
        self._made = 0

    def person(
        self,
        name: str = "Ada Lovelace",
        campaign: Campaign | None = None,
        *,
        role: str = "labeller",
        owner: bool = False,
    ) -> Person:
        """Somebody new, with this role in the campaign; or an owner of the studio."""
        with self.database.write() as connection:
            one = people.add(connection, name=name, role="owner" if owner else None)
            if campaign is not None:
                members.join(connection, one, campaign.id, role, by="system")
        return one

    def session(self, person: Person) -> str:
        """The secret of a session, for the cookie."""
        with self.database.write() as connection:
            return credentials.start_session(connection, person, days=1, at=now())

    def campaign(
        self,
        kind: str,
        *,
        items: int | Sequence[NewItem] = 4,
        options: dict[str, Any] | None = None,
        overlap: int = 1,
        guidelines: str = GUIDELINES,
        name: str | None = None,
        opened: bool = True,
    ) -> Campaign:
        """An open campaign; `items` is how many, or which."""
        self._made += 1
        rows = [new_item(kind, n) for n in range(items)] if isinstance(items, int) else items
        with self.database.write() as connection:
            made = campaigns.create(
                connection,
                campaigns.CampaignSettings(
                    name=name or f"{kind} {self._made}",
                    kind=kind,
                    options=options,
                    overlap=overlap,
                    guidelines=guidelines,
                    seed=str(self._made),
                ),
                by="system",
            )
            _add(connection, made, rows)
            return campaigns.set_state(connection, made, "open", by="system") if opened else made

    def judged(
        self,
        campaign: Campaign,
        *,
        wanted: int | None = None,
        until: Callable[[Judgement], bool] = lambda _: True,
        within_s: float = 10,
    ) -> list[Judgement]:
        """Judgements that stand; waits until there are as many as wanted, and the last is as it should be."""
        end = time.monotonic() + within_s
        while True:
            with self.database.read() as connection:
                found = judgements.list_current(connection, campaign.id)
            if wanted is None or (len(found) == wanted and until(found[-1])):
                return found
            assert time.monotonic() < end, f"{len(found)} judgements after {within_s} s, not {wanted}"
            time.sleep(0.05)


def _add(connection: Any, campaign: Campaign, rows: Sequence[NewItem]) -> None:
    if rows:
        items.add(connection, campaign, rows, by="system")


def new_item(kind: str, n: int) -> NewItem:
    """The n-th item of a kind: short texts that tell themselves apart."""
    if kind == "conversation":
        turns = [
            ("user", f"Hello, number {n}."),
            ("assistant", "Hello! How can I help?"),
            ("user", "What is 2 + 2?"),
            ("assistant", "It is **4**."),
        ]
        return NewItem(prompt=tuple(Message(role, text) for role, text in turns))  # type: ignore[arg-type]
    low, high = task_kinds.NUM_ANSWERS[kind]  # type: ignore[index]
    count = max(low, min(4, high)) if kind == "ranking" else low
    answers = tuple(
        answer(
            f"Answer {n}.{k}: the capital of France is **Paris**{', as everybody knows' * k}.", f"model-{k}"
        )
        for k in range(count)
    )
    return NewItem(
        prompt=(Message("user", f"Question {n}: what is the capital of France?"),), answers=answers
    )


def answer(text: str, source: str | None = None) -> CandidateAnswer:
    return CandidateAnswer(messages=(Message("assistant", text),), source=source)


RUN = "dpo-helpful-2f61c0ffee"


def furnished(folder: Path) -> Project:
    """A project with a run, and with the model that it made of another model and of comparisons."""
    project = create_project(folder)

    def publish(kind: str, name: str, *parents: Artifact, **metrics: float) -> Artifact:
        above = [Parent(one.label, one.manifest.digest, one.manifest.kind) for one in parents]

        def fill(inside: Path) -> None:
            (inside / "content.txt").write_text(name)

        return publish_artifact(
            project,
            kind,
            name,
            Provenance(parents=above, config={"seed": 0}, seed=0, metrics=metrics),
            fill=fill,
        )

    base, rows = publish("model", "base"), publish("dataset", "comparisons", rows=310)
    made = publish("model", "helpful", base, rows, accuracy=0.71)
    run = project.runs / RUN
    run.mkdir(parents=True)
    inputs = {"model": {"ref": "base", "name": base.label, "digest": base.manifest.digest}}
    about = {"recipe": "dpo", "config": {"name": "helpful", "steps": 40}, "inputs": inputs, "code": {}}
    (run / "config.json").write_text(json.dumps(about))
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": k, "loss": 0.7 - k / 100, "accuracy": 0.6}) + "\n" for k in range(1, 41))
    )
    happened = [
        {"at": "2026-03-01T10:00:00+00:00", "event": "opened", "checkpoint": None},
        {
            "at": "2026-03-01T10:06:40+00:00",
            "event": "finished",
            "artifact": made.label,
            "digest": made.manifest.digest,
        },
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in happened))
    return project


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    with served(files.copy(folder), folder) as made:
        yield made


@pytest.fixture(scope="session")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory, copies: Copies) -> Iterator[Studio]:
    with served(copies.copy(), tmp_path_factory.mktemp("studio")) as made:
        yield made


# Pages work the same on both databases; the tests of labels/ and studio/ use both for everything.
DATABASES = ("sqlite", "postgresql") if os.environ.get("TEST_BOTH_DATABASES") == "1" else ("either",)


@pytest.fixture(params=DATABASES)
def studio(request: pytest.FixtureRequest) -> Studio:
    """A studio on SQLite for about half the tests, by their names, and on PostgreSQL for the others."""
    name = request.param
    if name == "either":
        name = ("sqlite", "postgresql")[zlib.crc32(request.node.name.encode()) % 2]
    made: Studio = request.getfixturevalue(f"on_{name}")
    return made


@contextmanager
def served(url: str, folder: Path) -> Iterator[Studio]:
    database = open_database(url)
    home = furnished(folder / "home")
    app = create_app(Settings(database=database.url, port=0, project=home.root), database)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < end, "the server did not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Studio(f"http://127.0.0.1:{port}", database, app.state.chat_streams, home)
    server.should_exit = True
    thread.join(10)
    database.close()


@pytest.fixture(
    scope="module"
)  # not longer: Playwright's event loop runs in this thread, where others may want one
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = get_chromium.installed() or playwright.chromium.executable_path
        if not Path(path).exists():
            why = "no Chromium on the path; tests/get_chromium.py says how to get one"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        expect.set_options(timeout=SHOWN_WITHIN_MS)
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


Browse = Callable[..., Page]


@pytest.fixture
def browse(studio: Studio, browser: Browser) -> Iterator[Browse]:
    """Opens pages of logged-in people.  The test fails if a page throws or logs an error to the console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(person: Person, **settings: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        context.add_cookies([{"name": COOKIE, "value": studio.session(person), "url": studio.url}])
        contexts.append(context)
        page = context.new_page()
        page.on(
            "response", lambda got: complaints.append(f"{got.status} {got.url}") if _broken(got) else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text) if said.type == "error" and not _expected(said.text) else None
            ),
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _broken(got: Response) -> bool:
    return got.status >= 500 or (got.status >= 400 and "/static/" in got.url)


def _expected(text: str) -> bool:
    """What Chromium itself says when a test takes the network away, or the server says no."""
    return "net::ERR_INTERNET_DISCONNECTED" in text or "Failed to load resource" in text
