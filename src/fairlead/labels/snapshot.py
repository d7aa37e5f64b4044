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
from fairlead.labels import campaigns, chats, datasheet, events, filtering, items, jobs, judgements
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.filtering import Counts, Filters, Judged, Tally
from fairlead.labels.items import Answer, Item
from fairlead.labels.judgements import Judgement, judgement
from fairlead.labels.native_rows import File, Left, Out
from fairlead.store.artifact import load_artifact, publish_artifact
from fairlead.store.project import Project, check_name

snapshot = Table(
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
PAGE = 500  # items read at once


@dataclass(frozen=True)
class Snapshot:
    id: int
    campaign_id: int
    name: str
    filters: Filters
    digest: str
    counts: Counts
    made_by: str
    made_at: str


class Alternative(NamedTuple):
    """What there would be under another filter."""

    name: str
    filters: Filters
    counts: Counts


def preview(connection: Connection, one: Campaign, filters: Filters) -> tuple[Counts, list[Alternative]]:
    """What a snapshot would hold, and what it would with one filter changed.

    Where people write nothing, one item stands for all, with texts that training takes: others are refused when the items come.
    """
    filters = filtering.check(one, filters)
    others: dict[str, Filters] = {}
    if one.kind in ("pairwise", "chat"):
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
    if filters != Filters():
        others["no filter at all"] = Filters()
    wanted = {"": filters, **others}
    tallies = {name: Tally() for name in wanted}
    choices: dict[Filters, list[str]] = {}  # ties and margins are looked at in the rows
    for name, each in wanted.items():
        choices.setdefault(replace(each, ties=True, min_margin=0), []).append(name)

    for judged, known in _outlined(connection, one):
        for choice, names in choices.items():
            chosen = filtering.choose(one, judged, choice, known)
            for name in names:
                for _ in tallies[name].rows(chosen, wanted[name]):
                    pass
    counts = {name: tally.counts() for name, tally in tallies.items()}
    return counts[""], [Alternative(name, each, counts[name]) for name, each in others.items()]


def start(
    connection: Connection, project: Project, one: Campaign, name: str, filters: Filters, *, by: str
) -> int:
    """Queues the making of it; returns the job."""
    check_name(name)
    if (project.artifacts / KIND / name).exists() or _named(connection, name) is not None:
        raise Conflict(
            f"there is a snapshot {name!r} already, and snapshots never change; choose another name."
        )
    body = {"name": name, "filters": filtering.as_json(filtering.check(one, filters))}
    return jobs.enqueue(connection, KIND, body, actor=by, campaign=one.id)


def every(connection: Connection, campaign_id: int) -> list[Snapshot]:
    """The newest first."""
    query = select(snapshot).where(snapshot.c.campaign_id == campaign_id).order_by(snapshot.c.id.desc())
    return [_snapshot(row) for row in connection.execute(query)]


def get(connection: Connection, campaign_id: int, name: str) -> Snapshot:
    found = _named(connection, name)
    if found is None or found.campaign_id != campaign_id:
        raise NotFound(f"there is no snapshot {name!r} of this campaign.")
    return found


def train_command(one: Snapshot) -> str:
    """What to run next with it."""
    recipes: dict[File, str] = {
        "comparisons": "dpo name=dpo model=MODEL comparisons", "rankings": "reward name=reward model=MODEL rankings",
        "ratings": "uft name=uft model=MODEL ratings", "binary": "kto name=kto model=MODEL binary",
        "demonstrations": "sft name=sft model=MODEL demonstrations",
    }  # fmt: skip
    largest = max(one.counts.files, key=lambda file: one.counts.files[file])
    return f"fairlead train {recipes[largest]}=snapshot/{one.name}"


# ---------------------------------------------------------------- the job


def run(project: Project, work: jobs.Work) -> dict[str, Any]:
    """The handler of the job.  Killed after the artifact was made, the next worker finds that one and registers it."""
    name, filters, campaign_id = work.body["name"], filtering.of_json(work.body["filters"]), work.job.campaign
    assert campaign_id is not None, "a snapshot is of a campaign"
    with work.database.read() as connection:
        one = campaigns.by_id(connection, campaign_id)
        config = {"campaign": one.slug, "kind": one.kind, "filters": filtering.as_json(filters)}
        if (project.artifacts / KIND / name).exists():
            made = load_artifact(project.artifacts / KIND / name)
        else:
            counted: dict[str, Any] = {
                "job": work.job.id
            }  # `fill` adds what it counts, before the manifest is written

            def fill(folder: Path) -> None:
                counted.update(asdict(_fill(connection, one, filters, folder)))

            made = publish_artifact(
                project, KIND, name, fill=fill, parents=(), config=config, seed=0, metrics=counted
            )
    if made.manifest.metrics.get("job") != work.job.id or made.manifest.config != config:
        raise Conflict(
            f"there is a snapshot {name!r} already, and snapshots never change; choose another name."
        )
    counts = {key: value for key, value in made.manifest.metrics.items() if key != "job"}
    with work.write(num_done=counts["judgements"], num_all=counts["judgements"]) as connection:
        values = {
            "campaign_id": one.id, "name": name, "filters": filtering.as_json(filters), "digest": made.manifest.digest, "counts": counts,
            "made_by": work.job.actor, "made_at": now(),
        }  # fmt: skip
        connection.execute(insert(snapshot).values(values))
        body = {"digest": made.manifest.digest, "rows": counts["files"]}
        events.append(
            connection,
            verb="snapshot.made",
            actor=work.job.actor,
            campaign=one.id,
            subject=f"snapshot/{name}",
            body=body,
        )
    return {"snapshot": name, "digest": made.manifest.digest, "files": counts["files"]}


def _fill(connection: Connection, one: Campaign, filters: Filters, folder: Path) -> Counts:
    """The rows, file by file in the order of the items, and the datasheet."""
    tally = Tally()
    found = datasheet.Gathered()
    with ExitStack() as stack:
        opened: dict[File, Any] = {}
        for judged in _with_items(connection, one, _grouped(judgements.current(connection, one.id))):
            found.add(
                judged.item, [each for each in judged.made if filtering.unwanted(each, filters) is None]
            )
            for file, row in tally.rows(filtering.choose(one, judged, filters, {}), filters):
                if file not in opened:
                    opened[file] = stack.enter_context(files.atomic_file(folder / f"{file}.jsonl"))
                opened[file].write((jsonl.dumps(row) + "\n").encode("utf-8"))
        if not opened:
            raise DataError(
                "No judgement passes these filters, so there is nothing to keep. Loosen them, or wait for more judgements."
            )
    counts = tally.counts()
    sheet = datasheet.make(connection, one, found, filters=filtering.as_json(filters), counts=asdict(counts))
    files.write_text(folder / "datasheet.md", datasheet.markdown(sheet))
    files.write_text(folder / "datasheet.html", datasheet.html(sheet))
    return counts


# ---------------------------------------------------------------- which rows


def _outlined(connection: Connection, one: Campaign) -> Iterator[tuple[Judged, dict[Any, list[Out | Left]]]]:
    """Every item that was judged, or an example that stands for it, and the rows that were worked out for what is like it."""
    examples: dict[int, Item] = {}
    alike: dict[Any, list[Out | Left]] = {}
    written = {}
    for item_id, made in _grouped(_outlines(connection, one)).items():
        if not all(filtering.wordless(one, each) for each in made):
            written[item_id] = made
            continue
        num_ranked = next((len(each.value["ranks"]) for each in made if "ranks" in each.value), 0)
        if num_ranked not in examples:
            examples[num_ranked] = _example(items.get(connection, one.id, item_id))
        yield Judged(examples[num_ranked], made, {}), alike
    for judged in _with_items(connection, one, written):
        yield judged, {}


def _example(item: Item) -> Item:
    answers = tuple(
        Answer((Message("assistant", f"Answer {n}"),), answer.source) for n, answer in enumerate(item.answers)
    )
    return replace(item, prompt=(Message("user", "Question"),), answers=answers)


def _grouped(made: Iterable[Judgement]) -> dict[int, list[Judgement]]:
    by_item: dict[int, list[Judgement]] = {}
    for each in made:
        by_item.setdefault(each.item_id, []).append(each)
    return by_item


def _outlines(connection: Connection, one: Campaign) -> Iterator[Judgement]:
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
    query = select(*(judgement.c[name] for name in names)).where(
        judgement.c.campaign_id == one.id, judgements.is_current()
    )
    for row in connection.execute(query.order_by(judgement.c.id)):
        yield Judgement(
            row.id, one.id, row.item_id, row.token, row.rater, row.value, None, (), "", tuple(row.order), row.guidelines_version,
            row.active_ms, {}, {}, row.late, row.quick, False, None, row.made_at,
        )  # fmt: skip


def _with_items(
    connection: Connection, one: Campaign, by_item: Mapping[int, list[Judgement]]
) -> Iterator[Judged]:
    """In the order of the items' ids."""
    ids = sorted(by_item)
    for start in range(0, len(ids), PAGE):
        part = ids[start : start + PAGE]
        tokens = [made.token for item_id in part for made in by_item[item_id]]
        said = chats.turns_of(connection, tokens) if one.kind == "chat" else {}
        for item in items.some(connection, one.id, part):
            yield Judged(item, by_item[item.id], said)


def _named(connection: Connection, name: str) -> Snapshot | None:
    row = connection.execute(select(snapshot).where(snapshot.c.name == name)).one_or_none()
    return _snapshot(row) if row else None


def _snapshot(row: Any) -> Snapshot:
    return Snapshot(
        row.id, row.campaign_id, row.name, filtering.of_json(row.filters), row.digest, Counts(**row.counts), row.made_by, row.made_at
    )  # fmt: skip
