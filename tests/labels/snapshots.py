"""Campaigns with judgements, and snapshots of them, for several test modules."""

import json
from pathlib import Path
from typing import Any

from fairlead.data.records import Message
from fairlead.labels import assignments, campaigns, items, job_worker, judgements, leases, snapshot
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.snapshot import Snapshot
from fairlead.labels.snapshot_filters import SnapshotFilters
from fairlead.store.project import Project
from labels import build

LEAD = "r-1ead1ead01"
ANN = "r-aaaaaaaaaa"
BEN = "r-bbbbbbbbbb"
CAT = "r-cccccccccc"


def turns(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(texts))


def new_item(number: int, *answers: str, **settings: Any) -> NewItem:
    candidates = tuple(
        CandidateAnswer((Message("assistant", text),), source=f"model/{text[0]}") for text in answers
    )
    return NewItem(turns(f"{number}?"), candidates, **settings)


def create_campaign(
    database: Database, kind: str, *new: NewItem, overlap: int = 3, **settings: Any
) -> Campaign:
    with database.write() as connection:
        campaign = campaigns.create(
            connection,
            campaigns.CampaignSettings(
                name="Help", kind=kind, overlap=overlap, guidelines="Be kind.", **settings
            ),
            by=LEAD,
        )
        items.add(connection, campaign, new, by=LEAD)
        return campaigns.set_state(connection, campaign, "open", by=LEAD)


def judge_all(
    database: Database, campaign: Campaign, rater: str, values: dict[str, Any], **settings: Any
) -> dict[str, str]:
    """The rater judges the next items.  Returns the assignment ids by prompt.

    `values` maps each prompt to a value, or to a function that makes the value from the assignment.
    """
    assignment_ids = {}
    for _ in values:
        with database.write() as connection:
            (assignment,) = leases.lease_items(connection, campaign, rater)
            prompt = assignment.item.prompt[0].content
            build.hold_longer(connection, assignment.id)
            value = values[prompt](assignment) if callable(values[prompt]) else values[prompt]
            judgements.submit(
                connection,
                assignment.id,
                rater,
                judgements.NewJudgement(
                    key=f"{assignment.id}-1", value=value, **{"active_ms": 30_000, **settings}
                ),
            )
            assignment_ids[prompt] = assignment.id
    return assignment_ids


def prefers(text: str, steps: int = 3, **fields: Any) -> Any:
    """A pairwise value that prefers the answer with this text, by 1 to 3 steps."""

    def value(assignment: assignments.Assignment) -> dict[str, Any]:
        first = assignment.item.answers[assignment.order[0]].messages[0].content == text
        return {"choice": 4 - steps if first else 5 + steps, **fields}

    return value


def take_snapshot(
    database: Database, project: Project, campaign: Campaign, name: str = "s", **filters: Any
) -> tuple[Snapshot, Path]:
    with database.write() as connection:
        snapshot.enqueue(connection, project, campaign, name, SnapshotFilters(**filters), by=LEAD)
    job = job_worker.run_one(database, {"snapshot": lambda work: snapshot.run(project, work)})
    assert job is not None and job.state == "done", job
    with database.read() as connection:
        return snapshot.get(connection, campaign.id, name), project.artifacts / "snapshot" / name


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
