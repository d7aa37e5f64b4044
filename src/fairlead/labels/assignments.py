"""Assignments: an item given to one rater, with the order in which that rater sees the answers.

An open assignment holds a lease on one of the item's slots.  One statement claims the slot, so two raters
never hold the same slot, and an item is never assigned more often than it has slots.  A lease ends when the
rater judges, skips or releases the item, when a lead revokes the lease, or when no heartbeat arrives within
the campaign's lease time.  A rater never gets the same item twice, unless the earlier lease was released or
expired.

An assignment keeps the campaign's options as they were when the item was handed out: reasons,
aspects and scale.  Its judgement is checked against these, so changed options refuse nobody's answer.

On PostgreSQL, every transaction locks assignments before slots, and the slots of an item in order of their
ids. This order prevents deadlocks.

Answer positions are balanced in blocks.  For items with K answers, a block is 4K assignments of one rater:
four shuffled Latin squares, in which every answer appears equally often at every position.  When an
assignment ends without a judgement, the rater's next assignment reuses its place in the block.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from fairlead.core.seed import derive_rng
from fairlead.labels import campaigns, items
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata
from fairlead.labels.errors import Conflict, NotFound
from fairlead.labels.items import Item

assignment_table = Table(
    "assignment",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("slot_id", Integer),
    Column("rater", String(40), nullable=False),
    Column("seq", Integer),  # place in the rater's blocks; null after another assignment reused it
    Column("order", JSON, nullable=False),  # order[i]: index of the answer shown at position i
    Column("options", JSON, nullable=False, server_default="{}"),  # the campaign's, when it was handed out
    Column("guidelines_version", Integer, nullable=False),
    Column("leased_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Column("how", String(10)),  # judged, skipped, released or expired; null while leased
    Column("reason", Text),  # why the rater skipped the item
    Index("ix_assignment_campaign_id_rater_seq", "campaign_id", "rater", "seq", unique=True),
    Index("ix_assignment_rater_how", "rater", "how"),
    Index("ix_assignment_item_id_rater_how", "item_id", "rater", "how"),
    Index("ix_assignment_campaign_id_how_rater_seq", "campaign_id", "how", "rater", "seq"),
)
NOT_OFFERED_AGAIN = "how IS NULL OR how IN ('judged', 'skipped')"
Index(
    "uq_assignment_item_id_rater_lasting",
    assignment_table.c.item_id,
    assignment_table.c.rater,
    unique=True,
    sqlite_where=text(NOT_OFFERED_AGAIN),
    postgresql_where=text(NOT_OFFERED_AGAIN),
)

SQUARES_PER_BLOCK = 4  # Latin squares


@dataclass(frozen=True)
class Assignment:
    id: str  # the column `token`: random, so it cannot be guessed
    campaign_id: int
    rater: str
    item: Item
    order: tuple[int, ...]
    options: Mapping[str, Any]  # those of the campaign when the item was assigned, see `task_kinds`
    guidelines_version: int
    leased_at: str
    expires_at: str
    how: str | None


def list_leased(connection: Connection, campaign: Campaign, rater: str) -> list[Assignment]:
    """The rater's leased assignments in the campaign, oldest first."""
    query = select(assignment_table).where(
        assignment_table.c.rater == rater,
        assignment_table.c.how.is_(None),
        assignment_table.c.campaign_id == campaign.id,
    )
    rows = connection.execute(query.order_by(assignment_table.c.leased_at, assignment_table.c.seq)).all()
    return [_with_item(connection, row) for row in rows]


def merge_options(connection: Connection, campaign: Campaign, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changed options into the campaign's, for `campaigns.change` in the same transaction.

    Raises Conflict when the rating scale changes after an item was assigned: earlier scores would change
    meaning.
    """
    points = campaign.options["points"]
    if changed.get("points", points) != points:
        campaigns.lock(connection, campaign)  # no item can be assigned until this transaction ends
        assigned = (
            select(assignment_table.c.token).where(assignment_table.c.campaign_id == campaign.id).limit(1)
        )
        if connection.execute(assigned).scalar() is not None:
            raise Conflict(
                f"People have already received items with a {points}-point scale. "
                "Create a new campaign to use another scale."
            )
    return {**campaign.options, **changed}


def get(
    connection: Connection,
    assignment_id: str,
    rater: str,
    *,
    campaign_id: int | None = None,
    lock: bool = False,
) -> Assignment:
    """Get an assignment of this rater, in the given campaign or in any.

    `lock` makes other transactions that lock the assignment wait until this one ends.  Raises NotFound when
    the rater has no such assignment.
    """
    return _with_item(
        connection, get_row(connection, assignment_id, rater, campaign_id=campaign_id, lock=lock)
    )


def get_many(
    connection: Connection, campaign_id: int, rater: str, assignment_ids: Collection[str]
) -> dict[str, Assignment]:
    """Assignments of this rater in a campaign, by id."""
    query = select(assignment_table).where(
        assignment_table.c.token.in_(assignment_ids),
        assignment_table.c.rater == rater,
        assignment_table.c.campaign_id == campaign_id,
    )
    rows = connection.execute(query).all()
    items_by_id = {
        item.id: item for item in items.get_many(connection, campaign_id, [row.item_id for row in rows])
    }
    return {row.token: from_row(row, items_by_id[row.item_id]) for row in rows}


def get_row(
    connection: Connection,
    assignment_id: str,
    rater: str,
    *,
    campaign_id: int | None = None,
    lock: bool = False,
) -> Any:
    """Get the table row only, without reading the item.  Raises NotFound like `get`."""
    query = select(assignment_table).where(
        assignment_table.c.token == assignment_id, assignment_table.c.rater == rater
    )
    if lock:
        lock_rater(connection, rater)
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None or campaign_id not in (None, row.campaign_id):
        raise NotFound("You do not have this item any more. Load the next item and try again.")
    return row


def next_seq(connection: Connection, campaign: Campaign, rater: str) -> int:
    """A place in the rater's blocks that an earlier assignment left unused, otherwise the next place."""
    mine = (
        assignment_table.c.campaign_id == campaign.id,
        assignment_table.c.rater == rater,
        assignment_table.c.seq.is_not(None),
    )
    unused = select(assignment_table.c.seq, assignment_table.c.token).where(
        *mine, assignment_table.c.how.in_(("skipped", "released", "expired"))
    )
    # Sorted here: with ORDER BY ... LIMIT 1 the database would scan all assignments of the rater.
    if unused_places := connection.execute(unused).all():
        seq, assignment_id = min(unused_places)
        connection.execute(
            update(assignment_table).where(assignment_table.c.token == assignment_id).values(seq=None)
        )
        return int(seq)
    last = connection.execute(select(func.max(assignment_table.c.seq)).where(*mine)).scalar()
    return 0 if last is None else int(last) + 1


def answer_order(seed: str, rater: str, seq: int, num_answers: int) -> tuple[int, ...]:
    """The order of the answers at place `seq` of the rater's blocks."""
    if num_answers < 2:
        return tuple(range(num_answers))
    block, place = divmod(seq, SQUARES_PER_BLOCK * num_answers)
    rng = derive_rng(0, seed, rater, num_answers, block)
    rows = []
    for _ in range(SQUARES_PER_BLOCK):
        first = rng.sample(range(num_answers), num_answers)
        rows += [tuple(first[k:] + first[:k]) for k in range(num_answers)]
    rng.shuffle(rows)
    return rows[place]


# ---------------------------------------------------------------- details


def lock_rater(connection: Connection, rater: str) -> None:
    """Serialise the transactions of one rater, whose windows could otherwise deadlock.

    SQLite needs no lock: its writers always take turns.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(rater, 0))))


def _with_item(connection: Connection, row: Any) -> Assignment:
    return from_row(row, items.get(connection, row.campaign_id, row.item_id))


def from_row(row: Any, item: Item) -> Assignment:
    return Assignment(
        row.token,
        row.campaign_id,
        row.rater,
        item,
        tuple(row.order),
        row.options,
        row.guidelines_version,
        row.leased_at,
        row.expires_at,
        row.how,
    )
