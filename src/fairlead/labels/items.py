"""Items: prompts with the answers that are to be judged, and how many judgements each still wants.

An item has `overlap` slots, each open, held by an assignment, or done.  Slots are handed out by `rank`: first one judgement of every item,
then the second ones; within these by priority, and otherwise in an order without meaning (the campaign's seed), another one for each round.
So somebody who has done half of the items in the first round soon finds one in the second that is new to them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)

from fairlead.core import digest
from fairlead.core.seed import derive_seed
from fairlead.data.records import Message, Messages
from fairlead.labels import events, storable_text, task_kinds
from fairlead.labels.campaigns import Campaign, campaign_table
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid, NotFound

item_table = Table(
    "item",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("digest", String(80), nullable=False),
    Column("prompt", JSON, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("reference", Text),
    Column("priority", Integer, nullable=False),
    Column("selection_probability", Float),
    Column("strategy", String(40), nullable=False),
    Column("source", String(200), nullable=False),
    Column("created_at", String(27), nullable=False),
    UniqueConstraint("campaign_id", "digest"),
)
slot_table = Table(
    "slot",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("state", String(4), nullable=False),  # open, held, done
    Column("token", String(32)),  # of the assignment that holds it or did it
    UniqueConstraint("item_id", "n"),
    Index("ix_slot_campaign_id_state_rank", "campaign_id", "state", "rank"),
    Index("ix_slot_campaign_id_item_id", "campaign_id", "item_id"),
    Index("ix_slot_token", "token"),
)

MAX_PRIORITY = 100
_ROWS_PER_STATEMENT = 500  # rows of one statement


@dataclass(frozen=True)
class CandidateAnswer:
    """A candidate.  `source` and `params` are never shown to those who judge."""

    messages: Messages
    source: str | None = None  # the model, or who wrote it
    params: Mapping[str, Any] | None = None  # how it was sampled
    finished: bool | None = None  # False: the model was cut off


@dataclass(frozen=True)
class NewItem:
    prompt: Messages
    answers: tuple[CandidateAnswer, ...] = ()
    tags: tuple[str, ...] = ()
    reference: str | None = None
    priority: int = 0  # 0..100; higher is asked first
    selection_probability: float | None = None  # with which a strategy chose it; None: nothing was left out
    strategy: str = "all"
    source: str = ""  # the file or artifact that it came from


@dataclass(frozen=True)
class Item:
    id: int
    campaign_id: int
    digest: str
    prompt: Messages
    answers: tuple[CandidateAnswer, ...]
    tags: tuple[str, ...]
    reference: str | None
    priority: int
    selection_probability: float | None
    strategy: str
    source: str
    created_at: str


@dataclass(frozen=True)
class AddedCounts:
    num_added: int
    num_duplicates: int  # that were there already, in the campaign or among the rows


def add(connection: Connection, campaign: Campaign, rows: Iterable[NewItem], *, by: str) -> AddedCounts:
    """Rows that are there already are counted and left alone: an import can be repeated.  Raises Invalid where a row does not fit."""
    fresh: dict[str, dict[str, Any]] = {}
    num_rows, at = 0, now()
    for number, row in enumerate(rows, start=1):
        _check(campaign, row, number)
        content = {
            "prompt": [asdict(m) for m in row.prompt],
            "answers": [_answer_to_json(answer) for answer in row.answers],
        }
        named = digest.of_json([content["prompt"], [answer["messages"] for answer in content["answers"]]])
        num_rows += 1
        fresh.setdefault(
            named,
            content
            | {
                "campaign_id": campaign.id, "digest": named, "tags": list(row.tags), "reference": row.reference, "priority": row.priority,
                "selection_probability": row.selection_probability, "strategy": row.strategy, "source": row.source, "created_at": at,
            },
        )  # fmt: skip
    digests = list(fresh)
    for start in range(0, len(digests), _ROWS_PER_STATEMENT):
        part = digests[start : start + _ROWS_PER_STATEMENT]
        for known in connection.execute(
            select(item_table.c.digest).where(
                item_table.c.campaign_id == campaign.id, item_table.c.digest.in_(part)
            )
        ).scalars():
            del fresh[known]
    new = list(fresh.values())
    for start in range(0, len(new), _ROWS_PER_STATEMENT):
        part_rows = new[start : start + _ROWS_PER_STATEMENT]
        made = connection.execute(
            insert(item_table)
            .values(part_rows)
            .returning(item_table.c.id, item_table.c.digest, item_table.c.priority)
        ).all()
        slots = [
            _slot_row(campaign, row.id, row.digest, row.priority, n)
            for row in made
            for n in range(campaign.overlap)
        ]
        connection.execute(insert(slot_table), slots)
    if new:
        events.append(
            connection,
            verb="items.added",
            actor=by,
            campaign_id=campaign.id,
            subject=campaign.slug,
            body={"count": len(new)},
        )
    return AddedCounts(len(new), num_rows - len(new))


def why_unjudgeable(answers: Sequence[CandidateAnswer]) -> str | None:
    """Why nobody could say which is better, and training would take none of it."""
    if not all(message.content.strip() for answer in answers for message in answer.messages):
        return "an answer is empty"
    texts = {
        tuple((message.role, message.content.strip()) for message in answer.messages) for answer in answers
    }
    return "the same answer stands there twice" if len(texts) < len(answers) else None


def set_overlap(connection: Connection, campaign: Campaign, overlap: int, *, by: str) -> None:
    """More slots for every item, or fewer: open ones go, what is held or done stays, until its holder lets go (`tasks.free`)."""
    if not isinstance(overlap, int) or not 1 <= overlap <= 20:
        raise Invalid({"overlap": "is how many people judge each item, 1 to 20"})
    there: dict[int, dict[int, str]] = {}
    for row in connection.execute(
        select(slot_table.c.item_id, slot_table.c.n, slot_table.c.state).where(
            slot_table.c.campaign_id == campaign.id
        )
    ):
        there.setdefault(row.item_id, {})[row.n] = row.state
    more: list[dict[str, Any]] = []
    fewer: dict[int, list[int]] = {}  # n -> items
    for row in connection.execute(
        select(item_table.c.id, item_table.c.digest, item_table.c.priority).where(
            item_table.c.campaign_id == campaign.id
        )
    ):
        states = there.get(row.id, {})
        missing = [n for n in range(overlap) if n not in states][: max(0, overlap - len(states))]
        more += [_slot_row(campaign, row.id, row.digest, row.priority, n) for n in missing]
        free = sorted((n for n, state in states.items() if state == "open"), reverse=True)
        for n in free[: max(0, len(states) - overlap)]:
            fewer.setdefault(n, []).append(row.id)
    if more:
        connection.execute(insert(slot_table), more)
    for n, item_ids in fewer.items():
        for start in range(0, len(item_ids), _ROWS_PER_STATEMENT):
            part = item_ids[start : start + _ROWS_PER_STATEMENT]
            connection.execute(
                delete(slot_table).where(
                    slot_table.c.item_id.in_(part), slot_table.c.n == n, slot_table.c.state == "open"
                )
            )
    connection.execute(
        update(campaign_table).where(campaign_table.c.id == campaign.id).values(overlap=overlap)
    )
    events.append(
        connection,
        verb="campaign.overlap",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"from": campaign.overlap, "to": overlap},
    )


def set_priority(
    connection: Connection, campaign: Campaign, priorities: Mapping[int, int], *, by: str
) -> None:
    """Item id -> 0..100, for what should be judged next."""
    for item_id, priority in priorities.items():
        if not 0 <= priority <= MAX_PRIORITY:
            raise Invalid({"priority": f"is 0 to {MAX_PRIORITY}"})
        found = get(connection, campaign.id, item_id)
        connection.execute(update(item_table).where(item_table.c.id == item_id).values(priority=priority))
        for n in (
            connection.execute(select(slot_table.c.n).where(slot_table.c.item_id == item_id)).scalars().all()
        ):
            rank = _slot_row(campaign, item_id, found.digest, priority, n)["rank"]
            connection.execute(
                update(slot_table)
                .where(slot_table.c.item_id == item_id, slot_table.c.n == n)
                .values(rank=rank)
            )
    events.append(
        connection,
        verb="items.priority",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"count": len(priorities)},
    )


def get(connection: Connection, campaign_id: int, item_id: int) -> Item:
    row = connection.execute(
        select(item_table).where(item_table.c.id == item_id, item_table.c.campaign_id == campaign_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no item {item_id} in this campaign.")
    return from_row(row)


def list_page(connection: Connection, campaign_id: int, *, after: int = 0, limit: int = 50) -> list[Item]:
    """In the order of their ids, which is that of their import."""
    query = (
        select(item_table)
        .where(item_table.c.campaign_id == campaign_id, item_table.c.id > after)
        .order_by(item_table.c.id)
        .limit(limit)
    )
    return [from_row(row) for row in connection.execute(query)]


def get_many(connection: Connection, campaign_id: int, ids: Sequence[int]) -> list[Item]:
    """Those of the ids that there are, in the order of their ids; a few hundred at once."""
    query = (
        select(item_table)
        .where(item_table.c.campaign_id == campaign_id, item_table.c.id.in_(ids))
        .order_by(item_table.c.id)
    )
    return [from_row(row) for row in connection.execute(query)]


def slot_counts(connection: Connection, campaign_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Slots of each campaign by state: {id: {"open": …, "held": …, "done": …}}."""
    found = {one: {"open": 0, "held": 0, "done": 0} for one in campaign_ids}
    query = select(slot_table.c.campaign_id, slot_table.c.state, func.count()).where(
        slot_table.c.campaign_id.in_(campaign_ids)
    )
    for campaign_id, state, count in connection.execute(
        query.group_by(slot_table.c.campaign_id, slot_table.c.state)
    ):
        found[campaign_id][state] = count
    return found


def from_row(row: Any) -> Item:
    return Item(
        row.id, row.campaign_id, row.digest, _messages_from_json(row.prompt), tuple(_answer_from_json(one) for one in row.answers), tuple(row.tags),
        row.reference, row.priority, row.selection_probability, row.strategy, row.source, row.created_at,
    )  # fmt: skip


# ---------------------------------------------------------------- details


def _check(campaign: Campaign, row: NewItem, number: int) -> None:
    low, high = task_kinds.NUM_ANSWERS[campaign.kind]
    if not low <= len(row.answers) <= high:
        wanted = f"{low}" if low == high else f"{low} to {high}"
        raise Invalid(
            {"answers": f"row {number} has {len(row.answers)}; a {campaign.kind} item has {wanted}"}
        )
    if not row.prompt or not all(answer.messages for answer in row.answers):
        raise Invalid({"prompt": f"row {number} has an empty prompt or answer"})
    if why := storable_text.find_problem(
        [
            [asdict(m) for m in row.prompt],
            [_answer_to_json(answer) for answer in row.answers],
            row.tags,
            row.reference,
            row.source,
        ]
    ):
        raise Invalid({"prompt": f"row {number} {why}"})
    if why := why_unjudgeable(row.answers):
        raise Invalid({"answers": f"row {number}: {why}"})
    if not 0 <= row.priority <= MAX_PRIORITY:
        raise Invalid({"priority": f"row {number}: is 0 to {MAX_PRIORITY}"})
    if row.selection_probability is not None and not 0 < row.selection_probability <= 1:
        raise Invalid({"selection_probability": f"row {number}: is above 0 and at most 1"})


def _slot_row(campaign: Campaign, item_id: int, named: str, priority: int, n: int) -> dict[str, Any]:
    """rank: [n: 5 bits][100 - priority: 7 bits][order without meaning: 32 bits]"""
    shuffled = derive_seed(0, campaign.seed, named, n) & 0xFFFFFFFF
    rank = (n << 39) | ((MAX_PRIORITY - priority) << 32) | shuffled
    return {"campaign_id": campaign.id, "item_id": item_id, "n": n, "rank": rank, "state": "open"}


def _answer_to_json(answer: CandidateAnswer) -> dict[str, Any]:
    return {
        "messages": [asdict(m) for m in answer.messages],
        "source": answer.source,
        "params": dict(answer.params) if answer.params else None,
        "finished": answer.finished,
    }


def _messages_from_json(rows: Sequence[Mapping[str, Any]]) -> Messages:
    return tuple(Message(row["role"], row["content"]) for row in rows)


def _answer_from_json(row: Mapping[str, Any]) -> CandidateAnswer:
    return CandidateAnswer(
        _messages_from_json(row["messages"]), row["source"], row["params"], row["finished"]
    )
