"""What the tests of leads' rooms share: an app over a project, people in their roles, and files to upload."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

import web
from fairlead.labels import (
    assignments,
    campaigns,
    job_handlers,
    job_worker,
    judgements,
    leases,
    members,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.jobs import Job
from fairlead.labels.people import Person
from fairlead.store.project import Project, create_project
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from labels import build


@dataclass(frozen=True)
class Place:
    app: FastAPI
    database: Database
    project: Project

    def browser(self, one: Person) -> httpx.Client:
        return web.browser(self.app, self.database, one)

    def person(self, name: str, role: str | None = None, **memberships: str) -> Person:
        return web.person(self.database, name, role, **memberships)

    def campaign(self, slug: str) -> Campaign:
        with self.database.read() as connection:
            return campaigns.get(connection, slug)

    def work(self) -> list[Job]:
        """Every job that waits."""
        found: list[Job] = []
        while (done := job_worker.run_one(self.database, job_handlers.handlers(self.project))) is not None:
            found.append(done)
        return found


def open_place(database: Database, folder: Path, **settings: Any) -> Place:
    project = create_project(folder / "home")
    app = create_app(Settings(database="unused", project=project.root, **settings), database)
    return Place(app, database, project)


def rows(*values: Any) -> bytes:
    return "".join(
        (value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values
    ).encode()


def pairs(count: int, **more: Any) -> bytes:
    return rows(
        *[{"prompt": f"Question {n}?", "completions": [f"yes {n}", f"no {n}"]} | more for n in range(count)]
    )


def upload(client: httpx.Client, content: bytes, name: str = "rows.jsonl") -> dict[str, Any]:
    answer = client.post("/api/v1/uploads", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def filled(
    place: Place, client: httpx.Client, content: bytes, *, kind: str = "pairwise", **settings: Any
) -> str:
    """An open campaign with the items of a file; returns its address."""
    made = client.post(
        "/api/v1/campaigns", json={"name": "Help", "kind": kind, "guidelines": "Be kind.", **settings}
    )
    assert made.status_code == 201, made.text
    slug: str = made.json()["slug"]
    found = upload(client, content)
    assert client.post(f"/api/v1/campaigns/{slug}/imports", json={"upload": found["id"]}).status_code == 202
    assert [job.state for job in place.work()] == ["done"]
    assert client.post(f"/api/v1/campaigns/{slug}/state", json={"state": "open"}).status_code == 200
    return slug


def judge(
    place: Place,
    slug: str,
    person: Person,
    *values: dict[str, Any] | Callable[[assignments.Assignment], dict[str, Any]],
    **more: Any,
) -> None:
    """One judgement for each value, of whatever the person is handed."""
    one = place.campaign(slug)
    with place.database.write() as connection:
        members.join(connection, person, one.id, "labeller", by="system")
    for value in values:
        with place.database.write() as connection:
            (task,) = leases.lease_items(connection, one, person.rater)
            build.hold_longer(connection, task.id)
            said = value(task) if callable(value) else value
            settings = {"active_ms": 30_000, **more}
            judgements.submit(
                connection,
                task.id,
                person.rater,
                judgements.NewJudgement(key=f"key-{task.id}", value=said, **settings),
            )
