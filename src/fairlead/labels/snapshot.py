"""Snapshots: a campaign's judgements as they are at one moment, as files of native rows that never change again.

A snapshot is an artifact of the project, so that training names it as a parent: `comparisons=snapshot/NAME`.  It holds the rows and a
datasheet, and nothing of the time at which it was made, so the same judgements under the same filters have the same digest.  Judgements
that were superseded or withdrawn are not in it; who made the others is said by pseudonym.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import JSON, Column, Connection, ForeignKey, Index, Integer, String, Table, insert, select

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError
from fairlead.data.records import Message
from fairlead.labels import campaigns, chats, datasheet, events, items, jobs, judgements, snapshot_filters
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.items import CandidateAnswer, Item
from fairlead.labels.judgements import Judgement, judgement_table
from fairlead.labels.native_rows import LeftOut, NativeRow, RowFile
from fairlead.labels.snapshot_filters import JudgedItem, RowTally, SnapshotCounts, SnapshotFilters
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
    Column("counts", JSON, nullable=False),  # see Counts
    Column("made_by", String(40), nullable=False),
    Column("made_at", String(27), nullable=False),
    Index("ix_snapshot_campaign_id_id", "campaign_id", "id"),
)

KIND = "snapshot"  # of the job, and of the artifact
ITEMS_PER_PAGE = 500  # items read at once


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
    """What there would be under another filter."""

    name: str
    filters: SnapshotFilters
    counts: SnapshotCounts


def preview(
    connection: Connection, campaign: Campaign, filters: SnapshotFilters
) -> tuple[SnapshotCounts, list[FilterAlternative]]:
    """What a snapshot would hold, and what it would with one filter changed.

    RowLocation people write nothing, one item stands for all, with texts that training takes: others are refused when the items come.
    """
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
    wanted = {"": filters, **others}
    tallies = {name: RowTally() for name in wanted}
    choices: dict[SnapshotFilters, list[str]] = {}  # ties and margins are looked at in the rows
    for name, each in wanted.items():
        choices.setdefault(replace(each, ties=True, min_margin=0), []).append(name)

    for judged, known in _preview_items(connection, campaign):
        for choice, names in choices.items():
            chosen = snapshot_filters.select_rows(campaign, judged, choice, known)
            for name in names:
                for _ in tallies[name].rows(chosen, wanted[name]):
                    pass
    counts = {name: tally.counts() for name, tally in tallies.items()}
    return counts[""], [FilterAlternative(name, each, counts[name]) for name, each in others.items()]


def enqueue(
    connection: Connection,
    project: Project,
    campaign: Campaign,
    name: str,
    filters: SnapshotFilters,
    *,
    by: str,
) -> int:
    """Queues the making of it; returns the job."""
    check_name(name)
    if (project.artifacts / KIND / name).exists() or _find(connection, name) is not None:
        raise Conflict(
            f"there is a snapshot {name!r} already, and snapshots never change; choose another name."
        )
    body = {"name": name, "filters": snapshot_filters.to_json(snapshot_filters.validate(campaign, filters))}
    return jobs.enqueue(connection, KIND, body, actor=by, campaign_id=campaign.id)


def list_all(connection: Connection, campaign_id: int) -> list[Snapshot]:
    """The newest first."""
    query = (
        select(snapshot_table)
        .where(snapshot_table.c.campaign_id == campaign_id)
        .order_by(snapshot_table.c.id.desc())
    )
    return [_from_row(row) for row in connection.execute(query)]


def get(connection: Connection, campaign_id: int, name: str) -> Snapshot:
    found = _find(connection, name)
    if found is None or found.campaign_id != campaign_id:
        raise NotFound(f"there is no snapshot {name!r} of this campaign.")
    return found


def train_command(snapshot: Snapshot) -> str:
    """What to run next with it."""
    recipes: dict[RowFile, str] = {
        "comparisons": "dpo name=dpo model=MODEL comparisons", "rankings": "reward name=reward model=MODEL rankings",
        "ratings": "uft name=uft model=MODEL ratings", "binary": "kto name=kto model=MODEL binary",
        "demonstrations": "sft name=sft model=MODEL demonstrations",
    }  # fmt: skip
    largest = max(snapshot.counts.files, key=lambda file: snapshot.counts.files[file])
    return f"fairlead train {recipes[largest]}=snapshot/{snapshot.name}"


# ---------------------------------------------------------------- the job


def run(project: Project, leased: jobs.LeasedJob) -> dict[str, Any]:
    """The handler of the job.  Killed after the artifact was made, the next worker finds that one and registers it."""
    name, filters, campaign_id = (
        leased.body["name"],
        snapshot_filters.from_json(leased.body["filters"]),
        leased.job.campaign_id,
    )
    assert campaign_id is not None, "a snapshot is of a campaign"
    with leased.database.read() as connection:
        one = campaigns.get_by_id(connection, campaign_id)
        config = {"campaign": one.slug, "kind": one.kind, "filters": snapshot_filters.to_json(filters)}
        if (project.artifacts / KIND / name).exists():
            made = load_artifact(project.artifacts / KIND / name)
        else:
            counted: dict[str, Any] = {
                "job": leased.job.id
            }  # `fill` adds what it counts, before the manifest is written

            def fill(folder: Path) -> None:
                counted.update(asdict(_write_files(connection, one, filters, folder)))

            made = publish_artifact(
                project, KIND, name, Provenance(parents=(), config=config, seed=0, metrics=counted), fill=fill
            )
    if made.manifest.metrics.get("job") != leased.job.id or made.manifest.config != config:
        raise Conflict(
            f"there is a snapshot {name!r} already, and snapshots never change; choose another name."
        )
    counts = {key: value for key, value in made.manifest.metrics.items() if key != "job"}
    with leased.write(num_done=counts["judgements"], num_all=counts["judgements"]) as connection:
        values = {
            "campaign_id": one.id, "name": name, "filters": snapshot_filters.to_json(filters), "digest": made.manifest.digest, "counts": counts,
            "made_by": leased.job.actor, "made_at": now(),
        }  # fmt: skip
        connection.execute(insert(snapshot_table).values(values))
        body = {"digest": made.manifest.digest, "rows": counts["files"]}
        events.append(
            connection,
            verb="snapshot.made",
            actor=leased.job.actor,
            campaign_id=one.id,
            subject=f"snapshot/{name}",
            body=body,
        )
    return {"snapshot": name, "digest": made.manifest.digest, "files": counts["files"]}


def _write_files(
    connection: Connection, campaign: Campaign, filters: SnapshotFilters, folder: Path
) -> SnapshotCounts:
    """The rows, file by file in the order of the items, and the datasheet."""
    tally = RowTally()
    found = datasheet.DatasheetInput()
    with ExitStack() as stack:
        opened: dict[RowFile, Any] = {}
        for judged in _with_items(
            connection, campaign, _group_by_item(judgements.list_current(connection, campaign.id))
        ):
            found.add(
                judged.item,
                [each for each in judged.judgements if snapshot_filters.why_excluded(each, filters) is None],
            )
            for file, row in tally.rows(snapshot_filters.select_rows(campaign, judged, filters, {}), filters):
                if file not in opened:
                    opened[file] = stack.enter_context(files.atomic_file(folder / f"{file}.jsonl"))
                opened[file].write((jsonl.dumps(row) + "\n").encode("utf-8"))
        if not opened:
            raise DataError(
                "No judgement passes these filters, so there is nothing to keep. Loosen them, or wait for more judgements."
            )
    counts = tally.counts()
    sheet = datasheet.build(
        connection, campaign, found, filters=snapshot_filters.to_json(filters), counts=asdict(counts)
    )
    files.write_text(folder / "datasheet.md", datasheet.to_markdown(sheet))
    files.write_text(folder / "datasheet.html", datasheet.to_html(sheet))
    return counts


# ---------------------------------------------------------------- which rows


def _preview_items(
    connection: Connection, campaign: Campaign
) -> Iterator[tuple[JudgedItem, dict[Any, list[NativeRow | LeftOut]]]]:
    """Every item that was judged, or an example that stands for it, and the rows that were worked out for what is like it."""
    examples: dict[int, Item] = {}
    alike: dict[Any, list[NativeRow | LeftOut]] = {}
    written = {}
    for item_id, made in _group_by_item(_preview_judgements(connection, campaign)).items():
        if not all(snapshot_filters.is_text_free(campaign, each) for each in made):
            written[item_id] = made
            continue
        num_ranked = next((len(each.value["ranks"]) for each in made if "ranks" in each.value), 0)
        if num_ranked not in examples:
            examples[num_ranked] = _placeholder_item(items.get(connection, campaign.id, item_id))
        yield JudgedItem(examples[num_ranked], made, {}), alike
    for judged in _with_items(connection, campaign, written):
        yield judged, {}


def _placeholder_item(item: Item) -> Item:
    answers = tuple(
        CandidateAnswer((Message("assistant", f"Answer {n}"),), answer.source)
        for n, answer in enumerate(item.answers)
    )
    return replace(item, prompt=(Message("user", "Question"),), answers=answers)


def _group_by_item(made: Iterable[Judgement]) -> dict[int, list[Judgement]]:
    by_item: dict[int, list[Judgement]] = {}
    for each in made:
        by_item.setdefault(each.item_id, []).append(each)
    return by_item


def _preview_judgements(connection: Connection, campaign: Campaign) -> Iterator[Judgement]:
    """What stands, without what a preview has no use for and which takes long to read."""
    names = (
        "id",
        "item_id",
        "token",
        "rater",
        "value",
        "order",
        "guidelines_version",
        "active_ms",
        "late",
        "quick",
        "made_at",
    )
    query = select(*(judgement_table.c[name] for name in names)).where(
        judgement_table.c.campaign_id == campaign.id, judgements.is_current()
    )
    for row in connection.execute(query.order_by(judgement_table.c.id)):
        yield Judgement(
            row.id, campaign.id, row.item_id, row.token, row.rater, row.value, None, (), "", tuple(row.order), row.guidelines_version,
            row.active_ms, {}, {}, row.late, row.quick, False, None, row.made_at,
        )  # fmt: skip


def _with_items(
    connection: Connection, campaign: Campaign, by_item: Mapping[int, list[Judgement]]
) -> Iterator[JudgedItem]:
    """In the order of the items' ids."""
    ids = sorted(by_item)
    for start in range(0, len(ids), ITEMS_PER_PAGE):
        part = ids[start : start + ITEMS_PER_PAGE]
        tokens = [made.assignment_id for item_id in part for made in by_item[item_id]]
        said = chats.list_turns_by_assignment(connection, tokens) if campaign.kind == "chat" else {}
        for item in items.get_many(connection, campaign.id, part):
            yield JudgedItem(item, by_item[item.id], said)


def _find(connection: Connection, name: str) -> Snapshot | None:
    row = connection.execute(select(snapshot_table).where(snapshot_table.c.name == name)).one_or_none()
    return _from_row(row) if row else None


def _from_row(row: Any) -> Snapshot:
    return Snapshot(
        row.id, row.campaign_id, row.name, snapshot_filters.from_json(row.filters), row.digest, SnapshotCounts(**row.counts), row.made_by, row.made_at
    )  # fmt: skip
