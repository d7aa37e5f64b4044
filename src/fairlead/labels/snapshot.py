"""Snapshots: the current judgements of a campaign, written as immutable files of native training rows.

A snapshot is an artifact of the project, so training can name it: `comparisons=snapshot/NAME`.  It holds the
rows and a datasheet.  It does not hold the time at which it was made: the same judgements and the same
filters give the same digest.  Raters appear under their pseudonyms.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import JSON, Column, Connection, ForeignKey, Index, Integer, String, Table, insert, select

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError
from fairlead.labels import (
    campaigns,
    chats,
    datasheet,
    events,
    items,
    jobs,
    judgements,
    snapshot_counts,
    snapshot_filters,
)
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.judgements import Judgement
from fairlead.labels.snapshot_filters import JudgedItem, RowTally, SnapshotCounts, SnapshotFilters
from fairlead.labels.snapshot_rows import RowFile
from fairlead.store.artifact import Provenance, load_artifact, publish_artifact
from fairlead.store.project import Project, check_name

snapshot_table = Table(
    "snapshot",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("name", String(100), nullable=False, unique=True),  # of the artifact
    Column("filters", JSON, nullable=False),
    Column("digest", String(80), nullable=False),  # of the artifact
    Column("counts", JSON, nullable=False),  # see SnapshotCounts
    Column("made_by", String(40), nullable=False),
    Column("made_at", String(27), nullable=False),
    Index("ix_snapshot_campaign_id_id", "campaign_id", "id"),
)

KIND = "snapshot"  # kind of the job and of the artifact
ITEMS_PER_PAGE = 500  # items per query


@dataclass(frozen=True)
class Snapshot:
    id: int
    campaign_id: int
    name: str
    filters: SnapshotFilters
    digest: str
    counts: SnapshotCounts
    made_by: str
    made_at: str


class FilterAlternative(NamedTuple):
    """The counts that a snapshot would have under other filters."""

    name: str
    filters: SnapshotFilters
    counts: SnapshotCounts


def preview(
    connection: Connection, campaign: Campaign, filters: SnapshotFilters
) -> tuple[SnapshotCounts, list[FilterAlternative]]:
    """Count the rows that a snapshot would hold, and those it would hold with one filter changed."""
    filters = snapshot_filters.validate(campaign, filters)
    others: dict[str, SnapshotFilters] = {}
    if campaign.kind in ("pairwise", "chat"):
        others["ties left out" if filters.ties else "ties kept"] = replace(filters, ties=not filters.ties)
        others |= {
            f"margin at least {m}": replace(filters, min_margin=m)
            for m in (1, 2, 3)
            if m != filters.min_margin
        }
    grouped = replace(filters, by_item=not filters.by_item, equal_items=False)
    others["one row for each judgement" if filters.by_item else "one row for each item"] = grouped
    if filters.late or filters.quick:
        others["without late and quick ones"] = replace(filters, late=False, quick=False)
    if filters != SnapshotFilters():
        others["no filter at all"] = SnapshotFilters()
    counts, *other_counts = snapshot_counts.count_rows(connection, campaign, [filters, *others.values()])
    alternatives = [
        FilterAlternative(name, others[name], counted)
        for name, counted in zip(others, other_counts, strict=True)
    ]
    return counts, alternatives


def enqueue(
    connection: Connection,
    project: Project,
    campaign: Campaign,
    name: str,
    filters: SnapshotFilters,
    *,
    by: str,
) -> int:
    """Queue the job that makes a snapshot, and return the job's id."""
    check_name(name)
    if (project.artifacts / KIND / name).exists() or _find(connection, name) is not None:
        raise Conflict(_name_taken(name))
    body = {"name": name, "filters": snapshot_filters.to_json(snapshot_filters.validate(campaign, filters))}
    return jobs.enqueue(connection, KIND, body, actor=by, campaign_id=campaign.id)


def list_all(connection: Connection, campaign_id: int) -> list[Snapshot]:
    """Snapshots of a campaign, newest first."""
    query = (
        select(snapshot_table)
        .where(snapshot_table.c.campaign_id == campaign_id)
        .order_by(snapshot_table.c.id.desc())
    )
    return [_from_row(row) for row in connection.execute(query)]


def get(connection: Connection, campaign_id: int, name: str) -> Snapshot:
    snapshot = _find(connection, name)
    if snapshot is None or snapshot.campaign_id != campaign_id:
        raise NotFound(f"This campaign has no snapshot {name!r}. Check the name.")
    return snapshot


def train_command(snapshot: Snapshot) -> str:
    """The command that trains on the snapshot's largest file."""
    recipes: dict[RowFile, str] = {
        "comparisons": "dpo name=dpo model=MODEL comparisons",
        "rankings": "reward name=reward model=MODEL rankings",
        "ratings": "uft name=uft model=MODEL ratings",
        "binary": "kto name=kto model=MODEL binary",
        "demonstrations": "sft name=sft model=MODEL demonstrations",
    }
    largest = max(snapshot.counts.files, key=lambda file: snapshot.counts.files[file])
    return f"fairlead train {recipes[largest]}=snapshot/{snapshot.name}"


# ---------------------------------------------------------------- the job


def run(project: Project, leased: jobs.LeasedJob) -> dict[str, Any]:
    """Make a snapshot: the handler of the job.

    When a worker dies after publishing the artifact, the next worker finds the artifact and registers it.
    """
    name = leased.body["name"]
    filters = snapshot_filters.from_json(leased.body["filters"])
    campaign_id = leased.job.campaign_id
    assert campaign_id is not None, "snapshot jobs belong to a campaign"
    with leased.database.read() as connection:
        campaign = campaigns.get_by_id(connection, campaign_id)
        config = {
            "campaign": campaign.slug,
            "kind": campaign.kind,
            "filters": snapshot_filters.to_json(filters),
        }
        if (project.artifacts / KIND / name).exists():
            artifact = load_artifact(project.artifacts / KIND / name)
        else:
            # `fill` adds the counts before the manifest is written.
            counted: dict[str, Any] = {"job": leased.job.id}

            def fill(folder: Path) -> None:
                counted.update(asdict(_write_files(connection, campaign, filters, folder)))

            artifact = publish_artifact(
                project, KIND, name, Provenance(parents=(), config=config, seed=0, metrics=counted), fill=fill
            )
    if artifact.manifest.metrics.get("job") != leased.job.id or artifact.manifest.config != config:
        raise Conflict(_name_taken(name))
    counts = {key: value for key, value in artifact.manifest.metrics.items() if key != "job"}
    with leased.write(num_done=counts["judgements"], num_all=counts["judgements"]) as connection:
        values = {
            "campaign_id": campaign.id,
            "name": name,
            "filters": snapshot_filters.to_json(filters),
            "digest": artifact.manifest.digest,
            "counts": counts,
            "made_by": leased.job.actor,
            "made_at": now(),
        }
        connection.execute(insert(snapshot_table).values(values))
        body = {"digest": artifact.manifest.digest, "rows": counts["files"]}
        events.append(
            connection,
            verb="snapshot.made",
            actor=leased.job.actor,
            campaign_id=campaign.id,
            subject=f"snapshot/{name}",
            body=body,
        )
    return {"snapshot": name, "digest": artifact.manifest.digest, "files": counts["files"]}


def _write_files(
    connection: Connection, campaign: Campaign, filters: SnapshotFilters, folder: Path
) -> SnapshotCounts:
    """Write a file of rows for each kind of row, in order of the items, and the datasheet."""
    tally = RowTally()
    sheet_input = datasheet.DatasheetInput()
    by_item = _group_by_item(judgements.list_current(connection, campaign.id))
    archived = set(connection.execute(items.archived_ids(campaign.id)).scalars())
    by_item = {item_id: of_item for item_id, of_item in by_item.items() if item_id not in archived}
    with ExitStack() as stack:
        opened: dict[RowFile, Any] = {}
        for judged in _with_items(connection, campaign, by_item):
            used = [
                judgement
                for judgement in judged.judgements
                if snapshot_filters.why_excluded(judgement, filters) is None
            ]
            sheet_input.add(judged.item, used)
            selected = snapshot_filters.select_rows(campaign, judged, filters)
            for file, row in tally.rows(selected, filters):
                if file not in opened:
                    opened[file] = stack.enter_context(files.atomic_file(folder / f"{file}.jsonl"))
                opened[file].write((jsonl.dumps(row) + "\n").encode("utf-8"))
        if not opened:
            raise DataError(
                "No judgement passes these filters. Loosen the filters, or wait for more judgements."
            )
    counts = tally.counts()
    sheet = datasheet.build(
        connection, campaign, sheet_input, filters=snapshot_filters.to_json(filters), counts=asdict(counts)
    )
    files.write_text(folder / "datasheet.md", datasheet.to_markdown(sheet))
    files.write_text(folder / "datasheet.html", datasheet.to_html(sheet))
    return counts


# ---------------------------------------------------------------- reading judgements


def _group_by_item(of_campaign: Iterable[Judgement]) -> dict[int, list[Judgement]]:
    by_item: dict[int, list[Judgement]] = {}
    for judgement in of_campaign:
        by_item.setdefault(judgement.item_id, []).append(judgement)
    return by_item


def _with_items(
    connection: Connection, campaign: Campaign, by_item: Mapping[int, list[Judgement]]
) -> Iterator[JudgedItem]:
    """Read the items of judgements, in order of their ids."""
    ids = sorted(by_item)
    for start in range(0, len(ids), ITEMS_PER_PAGE):
        page = ids[start : start + ITEMS_PER_PAGE]
        assignment_ids = [judgement.assignment_id for item_id in page for judgement in by_item[item_id]]
        is_chat = campaign.kind == "chat"
        turns = chats.list_turns_by_assignment(connection, assignment_ids) if is_chat else {}
        for item in items.get_many(connection, campaign.id, page):
            yield JudgedItem(item, by_item[item.id], turns)


def _name_taken(name: str) -> str:
    return f"There is already a snapshot {name!r}, and snapshots never change. Choose another name."


def _find(connection: Connection, name: str) -> Snapshot | None:
    row = connection.execute(select(snapshot_table).where(snapshot_table.c.name == name)).one_or_none()
    return _from_row(row) if row else None


def _from_row(row: Any) -> Snapshot:
    return Snapshot(
        id=row.id,
        campaign_id=row.campaign_id,
        name=row.name,
        filters=snapshot_filters.from_json(row.filters),
        digest=row.digest,
        counts=SnapshotCounts(**row.counts),
        made_by=row.made_by,
        made_at=row.made_at,
    )
