"""Snapshots: a campaign's judgements as they are at one moment, as files of native rows that never change again.

A snapshot is an artifact of the project, so that training names it as a parent: `comparisons=snapshot/NAME`.  It holds the rows and a
datasheet, and nothing of the time at which it was made, so the same judgements under the same filters have the same digest.  Judgements
that were superseded or withdrawn are not in it; who made the others is said by pseudonym.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import JSON, Column, Connection, ForeignKey, Index, Integer, String, Table, insert, select

from fairlead.core import files, jsonl
from fairlead.core.errors import DataError
from fairlead.labels import campaigns, chats, datasheet, events, items, jobs, judgements, rows, tasks
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, moment, now
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.items import Item
from fairlead.labels.judgements import Judgement
from fairlead.labels.rows import File, Left, Out
from fairlead.store import artifact as artifacts
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


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which judgements, and as what.  The defaults keep everything that stands, one row each."""

    ties: bool = True
    min_margin: int = 0  # 1..3 keeps clearer preferences only, and ties where these are kept
    by_item: bool = False  # one row for each item, not for each judgement
    equal_items: bool = False  # without by_item: the comparisons of an item weigh 1 together
    guidelines: tuple[int, ...] = ()  # versions; none named means all
    raters: tuple[str, ...] = ()  # pseudonyms; none named means all
    without_raters: tuple[str, ...] = ()
    since: str | None = None  # made at that time or later
    until: str | None = None  # made before
    late: bool = True  # also those that came after the hold was lost
    quick: bool = True  # also those made faster than anybody reads


@dataclass(frozen=True)
class Counts:
    judgements: int  # that stand in the campaign
    used: int  # of these, after the filters that look at a judgement alone
    items: int  # that have a row
    raters: int  # whose judgements were used
    files: dict[File, int]  # rows of each file
    left_out: dict[str, int]  # why -> how many


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


def check_filters(one: Campaign, given: Filters) -> Filters:
    """The same, with lists in order; raises Invalid with everything that is wrong."""
    problems = {}
    if not 0 <= given.min_margin <= 3:
        problems["min_margin"] = "is 0 to 3"
    if given.min_margin and one.kind not in ("pairwise", "chat"):
        problems["min_margin"] = f"has no meaning for a {one.kind} campaign"
    for name in ("since", "until"):
        if (at := getattr(given, name)) is not None and not _is_time(at):
            problems[name] = "is a time such as 2026-01-31T00:00:00.000000Z"
    if given.by_item and given.equal_items:
        problems["equal_items"] = "goes with one row for each judgement"
    if problems:
        raise Invalid(problems)
    raters, without = tuple(sorted(set(given.raters))), tuple(sorted(set(given.without_raters)))
    return replace(given, guidelines=tuple(sorted(set(given.guidelines))), raters=raters, without_raters=without)


def preview(connection: Connection, one: Campaign, filters: Filters) -> tuple[Counts, list[Alternative]]:
    """What a snapshot would hold, and what it would with one filter changed."""
    filters = check_filters(one, filters)
    others: dict[str, Filters] = {}
    if one.kind in ("pairwise", "chat"):
        others["ties left out" if filters.ties else "ties kept"] = replace(filters, ties=not filters.ties)
        others |= {f"margin at least {m}": replace(filters, min_margin=m) for m in (1, 2, 3) if m != filters.min_margin}
    grouped = replace(filters, by_item=not filters.by_item, equal_items=False)
    others["one row for each judgement" if filters.by_item else "one row for each item"] = grouped
    if filters.late or filters.quick:
        others["without late and quick ones"] = replace(filters, late=False, quick=False)
    if filters != Filters():
        others["no filter at all"] = Filters()
    wanted = {"": filters, **others}
    tallies = {name: _Tally() for name in wanted}
    for item, made in _by_item(connection, one):
        known: dict[Any, list[Out | Left]] = {}
        for name, each in wanted.items():
            for _ in _item_rows(connection, one, item, made, each, tallies[name], known):
                pass
    counts = {name: tally.counts() for name, tally in tallies.items()}
    return counts[""], [Alternative(name, each, counts[name]) for name, each in others.items()]


def start(connection: Connection, project: Project, one: Campaign, name: str, filters: Filters, *, by: str) -> int:
    """Queues the making of it; returns the job."""
    check_name(name)
    if (project.artifacts / KIND / name).exists() or _named(connection, name) is not None:
        raise Conflict(f"there is a snapshot {name!r} already, and snapshots never change; choose another name.")
    body = {"name": name, "filters": plain(check_filters(one, filters))}
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


def plain(filters: Filters) -> dict[str, Any]:
    """As JSON, which has no tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(filters).items()}


def filters_of(values: Mapping[str, Any]) -> Filters:
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Filters(**given)


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
    name, filters, campaign_id = work.body["name"], filters_of(work.body["filters"]), work.job.campaign
    assert campaign_id is not None, "a snapshot is of a campaign"
    with work.database.read() as connection:
        one = campaigns.by_id(connection, campaign_id)
        config = {"campaign": one.slug, "kind": one.kind, "filters": plain(filters)}
        if (project.artifacts / KIND / name).exists():
            made = artifacts.load(project.artifacts / KIND / name)
        else:
            counted: dict[str, Any] = {"job": work.job.id}  # `fill` adds what it counts, before the manifest is written

            def fill(folder: Path) -> None:
                counted.update(asdict(_fill(connection, one, filters, folder)))

            made = artifacts.publish(project, KIND, name, fill=fill, parents=(), config=config, seed=0, metrics=counted)
    if made.manifest.metrics.get("job") != work.job.id or made.manifest.config != config:
        raise Conflict(f"there is a snapshot {name!r} already, and snapshots never change; choose another name.")
    counts = {key: value for key, value in made.manifest.metrics.items() if key != "job"}
    with work.write(num_done=counts["judgements"], num_all=counts["judgements"]) as connection:
        values = {
            "campaign_id": one.id, "name": name, "filters": plain(filters), "digest": made.manifest.digest, "counts": counts,
            "made_by": work.job.actor, "made_at": now(),
        }  # fmt: skip
        connection.execute(insert(snapshot).values(values))
        body = {"digest": made.manifest.digest, "rows": counts["files"]}
        events.append(connection, verb="snapshot.made", actor=work.job.actor, campaign=one.id, subject=f"snapshot/{name}", body=body)
    return {"snapshot": name, "digest": made.manifest.digest, "files": counts["files"]}


def _fill(connection: Connection, one: Campaign, filters: Filters, folder: Path) -> Counts:
    """The rows, file by file in the order of the items, and the datasheet."""
    tally = _Tally()
    found = datasheet.Gathered()
    with ExitStack() as stack:
        opened: dict[File, Any] = {}
        for item, made in _by_item(connection, one):
            found.add(item, [each for each in made if _unwanted(each, filters) is None])
            for file, row in _item_rows(connection, one, item, made, filters, tally, {}):
                if file not in opened:
                    opened[file] = stack.enter_context(files.atomic_file(folder / f"{file}.jsonl"))
                opened[file].write((jsonl.dumps(row) + "\n").encode("utf-8"))
        if not opened:
            raise DataError("No judgement passes these filters, so there is nothing to keep. Loosen them, or wait for more judgements.")
    counts = tally.counts()
    sheet = datasheet.make(connection, one, found, filters=plain(filters), counts=asdict(counts))
    files.write_text(folder / "datasheet.md", datasheet.markdown(sheet))
    files.write_text(folder / "datasheet.html", datasheet.html(sheet))
    return counts


# ---------------------------------------------------------------- which rows


class _Tally:
    """What is counted while the items stream past."""

    def __init__(self) -> None:
        self.judgements = self.used = self.items = 0
        self.raters: set[str] = set()
        self.files: Counter[File] = Counter()
        self.left_out: Counter[str] = Counter()

    def counts(self) -> Counts:
        names = sorted(self.left_out)
        listed: dict[File, int] = {file: self.files[file] for file in sorted(self.files)}
        return Counts(self.judgements, self.used, self.items, len(self.raters), listed, {name: self.left_out[name] for name in names})


def _by_item(connection: Connection, one: Campaign) -> Iterator[tuple[Item, list[Judgement]]]:
    """Every item that was judged, with what stands of its judgements, both in the order of their ids."""
    by_item: dict[int, list[Judgement]] = {}
    for made in judgements.current(connection, one.id):
        by_item.setdefault(made.item_id, []).append(made)
    ids = sorted(by_item)
    for start in range(0, len(ids), PAGE):
        for item in items.some(connection, one.id, ids[start : start + PAGE]):
            yield item, by_item[item.id]


def _item_rows(
    connection: Connection,
    one: Campaign,
    item: Item,
    made: Sequence[Judgement],
    filters: Filters,
    tally: _Tally,
    known: dict[Any, list[Out | Left]],
) -> Iterator[Out]:
    """The rows of one item.  `known` keeps what was worked out for it under other filters."""
    wanted = []
    for each in made:
        why = _unwanted(each, filters)
        if why is None:
            wanted.append(each)
        else:
            tally.left_out[why] += 1
    tally.judgements, tally.used = tally.judgements + len(made), tally.used + len(wanted)
    tally.raters.update(each.rater for each in wanted)
    weight = 1 / len(wanted) if filters.equal_items and wanted else 1.0
    key = (filters.by_item, weight, tuple(each.id for each in wanted))
    if key not in known:
        if one.kind == "chat":  # every conversation is another one, so there is nothing to put together
            known[key] = [out for each in wanted for out in _chat_rows(connection, item, each, weight)]
        elif filters.by_item:
            known[key] = list(rows.per_item(one, item, wanted))
        else:
            known[key] = [out for each in wanted for out in rows.per_judgement(one, item, each, weight=weight)]
    has_row = False
    for out in known[key]:
        if isinstance(out, Left):
            tally.left_out[out.why] += out.num
        elif why := _unclear(out.row, filters):
            tally.left_out[why] += 1
        else:
            tally.files[out.file] += 1
            has_row = True
            yield out
    tally.items += has_row


def _chat_rows(connection: Connection, item: Item, made: Judgement, weight: float) -> Iterator[Out | Left]:
    turns = chats.rows(connection, tasks.get(connection, made.token, made.rater))
    yield from rows.of_chat(item, made, turns, weight=weight) if turns else [Left("a conversation without a choice", 1)]


def _unwanted(made: Judgement, filters: Filters) -> str | None:
    """Why a judgement is left out, whatever it says."""
    if filters.guidelines and made.guidelines_version not in filters.guidelines:
        return "another version of the guidelines"
    if made.rater in filters.without_raters or (filters.raters and made.rater not in filters.raters):
        return "another person"
    if (filters.since and made.made_at < filters.since) or (filters.until and made.made_at >= filters.until):
        return "another time"
    if made.late and not filters.late:
        return "came late"
    return "faster than anybody reads" if made.quick and not filters.quick else None


def _unclear(row: Mapping[str, Any], filters: Filters) -> str | None:
    """Why a comparison is left out; an edit has no margin, and stays."""
    if row.get("tie"):
        return None if filters.ties else "a tie"
    return "the margin is too small" if row.get("margin", 3) < filters.min_margin else None


def _is_time(text: str) -> bool:
    try:
        moment(text)
    except ValueError:
        return False
    return True


def _named(connection: Connection, name: str) -> Snapshot | None:
    row = connection.execute(select(snapshot).where(snapshot.c.name == name)).one_or_none()
    return _snapshot(row) if row else None


def _snapshot(row: Any) -> Snapshot:
    return Snapshot(
        row.id, row.campaign_id, row.name, filters_of(row.filters), row.digest, Counts(**row.counts), row.made_by, row.made_at
    )  # fmt: skip
