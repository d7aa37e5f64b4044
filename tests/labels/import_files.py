"""Rows, uploads and import jobs for several test modules."""

import io
import json
from pathlib import Path
from typing import Any

from fairlead.core import jsonl
from fairlead.labels import campaigns, imports, items, job_worker, jobs, uploads
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.imports import ImportPreview, ImportSource
from fairlead.labels.items import Item
from fairlead.labels.uploads import Upload
from fairlead.store.artifact import Parent, Provenance, publish_artifact
from fairlead.store.project import Project

LEAD = "r-1ead1ead01"
TRANSCRIPT = "\n\nHuman: 2?\n\nAssistant:"


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def pair(n: int) -> dict[str, Any]:
    return {"prompt": user(f"{n}?"), "chosen": assistant(f"yes {n}"), "rejected": assistant(f"no {n}")}


def json_lines(*rows: Any) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def store_upload(project: Project, content: bytes, filename: str = "pairs.jsonl") -> Path:
    return uploads.store(project, io.BytesIO(content), filename=filename, max_bytes=2**20)


def upload(database: Database, project: Project, content: bytes, filename: str = "pairs.jsonl") -> Upload:
    inspected = uploads.inspect(store_upload(project, content, filename), filename=filename, by=LEAD)
    with database.write() as connection:
        return uploads.register(connection, inspected)


def create_campaign(database: Database, kind: str = "pairwise", **settings: Any) -> Campaign:
    with database.write() as connection:
        return campaigns.create(
            connection, campaigns.CampaignSettings(name="Help", kind=kind, **settings), by=LEAD
        )


def run_import(
    database: Database, project: Project, campaign: Campaign, origin: ImportSource, **settings: Any
) -> jobs.Job:
    with database.write() as connection:
        imports.enqueue(connection, project, campaign, origin, by=LEAD, **settings)
    job = job_worker.run_one(database, {"import": lambda work: imports.run(project, work)})
    assert job is not None
    return job


def all_items(database: Database, campaign: Campaign) -> list[Item]:
    with database.read() as connection:
        return items.list_page(connection, campaign.id, limit=10_000)


def answer_texts(item: Item) -> list[str]:
    return [answer.messages[-1].content for answer in item.answers]


def preview(
    database: Database, project: Project, origin: ImportSource, kind: Any, **settings: Any
) -> ImportPreview:
    with database.read() as connection:
        return imports.preview(connection, project, origin, kind, **settings)


def publish_rollouts(
    project: Project, name: str, rows: list[dict[str, Any]], model: str = "model/sft"
) -> None:
    def fill(folder: Path) -> None:
        jsonl.write(folder / "answers.jsonl", rows)

    parents = [Parent(model, "sha256:" + "1" * 64, "model")]
    publish_artifact(
        project,
        "rollouts",
        name,
        Provenance(parents=parents, config={"temperature": 0.7, "name": name}, seed=0, metrics={}),
        fill=fill,
    )
