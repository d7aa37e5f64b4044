"""Seals: the chain of events covers what is stored, not only that something was stored.

An event that writes or changes a judgement, a flag, guidelines or a role seals the rows: a seal is the digest
of a row and of a random salt, and the event contains the digest of its seals.  So a row that is changed,
deleted or added behind the studio's back is found by `events.verify`.  Events show digests of salted digests
only, from which nobody can guess a short text.  A row that the studio deletes, with the person it belongs to,
is sealed as gone.

The texts of an item are compared with the digest that is stored with them, so that nobody turns a judgement
round by swapping two answers.

Whoever changes SEALED sets SEALED_SINCE to the new version of the database: `schema.upgrade` then seals the
existing rows anew.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    select,
    tuple_,
)

from fairlead.core import digest
from fairlead.labels.database import metadata

seal_table = Table(
    "seal",
    metadata,
    Column("seq", Integer, nullable=False),  # of the event
    Column("kind", String(20), nullable=False),  # table of the row
    Column("key", String(40), nullable=False),  # primary key of the row, joined with slashes
    Column("salt", String(32), nullable=False),
    Column("digest", String(80), nullable=False),
    PrimaryKeyConstraint("kind", "key", "seq"),
)

GONE = "gone"  # digest of a row that was deleted
_FETCHED_AT_ONCE = 500  # SQLite takes a limited number of values in a query


class Row(NamedTuple):
    """A row to seal: the name of its table, and its primary key."""

    kind: str
    key: tuple[int, ...]


# table: columns of its primary key, and the columns that are sealed
SEALED: Mapping[str, tuple[list[str], list[str]]] = {
    "flag": (
        ["id"],
        "campaign_id item_id rater reason note raised_at resolved_at resolved_by".split(),
    ),
    "guideline": (["campaign_id", "version"], ["text", "written_by", "written_at"]),
    "judgement": (
        ["id"],
        (
            "campaign_id item_id token rater key value margin reasons note order guidelines_version "
            "active_ms dwell_ms ui late quick implausible withdraws supersedes made_at"
        ).split(),
    ),
    "membership": (["campaign_id", "person_id"], ["role", "paused_at"]),
    "person": (["id"], ["role"]),
}
SEALED_SINCE = "v0008"  # the version of the database in which SEALED last changed


def make_seals(connection: Connection, rows: Sequence[Row]) -> list[dict[str, str]]:
    """Seals of the rows as they are now, in order, without the number of their event."""
    seals = []
    for kind, of_kind in groupby(sorted(rows), key=lambda row: row.kind):
        keys = [row.key for row in of_kind]
        for start in range(0, len(keys), _FETCHED_AT_ONCE):
            part = keys[start : start + _FETCHED_AT_ONCE]
            stored = _by_key(connection, kind, part)
            for key in part:
                salt = secrets.token_hex(16)
                seals.append(_seal(kind, "/".join(map(str, key)), salt, stored.get(key)))
    return seals


def _by_key(connection: Connection, kind: str, keys: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], Any]:
    names, _ = SEALED[kind]
    columns = [metadata.tables[kind].c[name] for name in names]
    if len(columns) == 1:
        among = columns[0].in_([key[0] for key in keys])
    else:
        among = tuple_(*columns).in_(keys)
    return {tuple(row[: len(names)]): row for row in connection.execute(_select(kind).where(among))}


def all_rows(connection: Connection) -> list[Row]:
    """Every row that is to be sealed, for an upgrade."""
    return [
        Row(kind, tuple(key))
        for kind, (names, _) in SEALED.items()
        for key in connection.execute(select(*(metadata.tables[kind].c[name] for name in names)))
    ]


def store(connection: Connection, seals: Sequence[Mapping[str, str]], seq: int) -> None:
    for start in range(0, len(seals), _FETCHED_AT_ONCE):
        part = [{**seal, "seq": seq} for seal in seals[start : start + _FETCHED_AT_ONCE]]
        connection.execute(insert(seal_table), part)


def digest_of(seals: Sequence[Mapping[str, str]]) -> str:
    """What an event contains of its seals."""
    return digest.of_json([[seal["kind"], seal["key"], seal["digest"]] for seal in seals])


def find_problem(connection: Connection, sealed_by_event: Mapping[int, str]) -> str | None:
    """Compare the seals with the events, and the rows with their latest seals.

    `sealed_by_event` maps the number of each event with seals to the digest that it contains.
    """
    query = select(seal_table).order_by(seal_table.c.seq, seal_table.c.kind, seal_table.c.key)
    num_events = 0
    for seq, group in groupby(_stream(connection, query), key=lambda row: row.seq):
        # Ordered as `make_seals` orders them: by number, not by text.
        seals = sorted((row._mapping for row in group), key=lambda seal: _sort_key(seal["kind"], seal["key"]))
        if sealed_by_event.get(seq) != digest_of(seals):
            return f"the seals of event {seq} were changed after it was written"
        num_events += 1
    if num_events != len(sealed_by_event):
        return "seals of an event are missing"
    for kind in SEALED:
        if problem := _find_problem_of_table(connection, kind):
            return problem
    return _find_changed_item(connection)


def _find_changed_item(connection: Connection) -> str | None:
    """Items need no seals: each contains the digest of its texts, by which an import finds duplicates."""
    item = metadata.tables["item"]
    for row in _stream(connection, select(item.c.id, item.c.digest, item.c.prompt, item.c.answers)):
        texts = [row.prompt, [answer["messages"] for answer in row.answers]]
        if row.digest != digest.of_json(texts):
            return f"item {row.id} was changed after it was added"
    return None


def _find_problem_of_table(connection: Connection, kind: str) -> str | None:
    latest = (
        select(seal_table.c.key, func.max(seal_table.c.seq).label("seq"))
        .where(seal_table.c.kind == kind)
        .group_by(seal_table.c.key)
        .subquery()
    )
    query = select(seal_table.c.key, seal_table.c.salt, seal_table.c.digest).join(
        latest, (seal_table.c.key == latest.c.key) & (seal_table.c.seq == latest.c.seq)
    )
    expected = {
        row.key: (row.salt, row.digest)
        for row in _stream(connection, query.where(seal_table.c.kind == kind))
        if row.digest != GONE
    }
    names, _ = SEALED[kind]
    for row in _stream(connection, _select(kind)):
        key = "/".join(str(row._mapping[name]) for name in names)
        if key not in expected:
            return f"{kind} {key} was added without an event"
        salt, sealed = expected.pop(key)
        if _seal(kind, key, salt, row)["digest"] != sealed:
            return f"{kind} {key} was changed after it was written"
    return f"{kind} {next(iter(expected))} was deleted without an event" if expected else None


def _select(kind: str) -> Any:
    table = metadata.tables[kind]
    names, columns = SEALED[kind]
    return select(*(table.c[name] for name in (*names, *columns)))


def _seal(kind: str, key: str, salt: str, row: Any) -> dict[str, str]:
    if row is None:
        return {"kind": kind, "key": key, "salt": "", "digest": GONE}
    content = [row._mapping[name] for name in SEALED[kind][1]]
    return {"kind": kind, "key": key, "salt": salt, "digest": digest.of_json([kind, key, salt, content])}


def _sort_key(kind: str, key: str) -> tuple[str, tuple[int, ...]]:
    return kind, tuple(map(int, key.split("/")))


def _stream(connection: Connection, query: Any) -> Iterator[Any]:
    with connection.execute(query, execution_options={"yield_per": _FETCHED_AT_ONCE}) as rows:
        yield from rows
