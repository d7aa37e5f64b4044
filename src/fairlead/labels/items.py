"""Items: prompts with the answers to judge, and the slots that count their judgements.

An item has `overlap` slots.  A slot is open, held by an assignment, or done.  Slots are assigned in order of
`rank`: every item is judged once before any item is judged twice, and so on.  Within such a round, items come
in order of priority, then in a random order derived from the campaign's seed.  Each round has its own random
order, so a rater who judged half of the first round soon finds an unjudged item in the second.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from fairlead.core import digest
from fairlead.core.seed import derive_seed
from fairlead.data.records import Messages, message_from_json, message_to_json
from fairlead.labels import events, self_naming, storable_text, task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time, metadata, now
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
    Column("carried", JSON, nullable=False, server_default="{}"),
    Column("archived_at", String(27)),  # null unless the item is hidden and handed out to nobody
    Column("reveals", Text),  # where an answer names its own model, see `self_naming`
    UniqueConstraint("campaign_id", "digest"),
    Index("ix_item_campaign_id_archived_at_id", "campaign_id", "archived_at", "id"),
    Index("ix_item_campaign_id_archived_at_priority_id", "campaign_id", "archived_at", "priority", "id"),
)
slot_table = Table(
    "slot",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("item_id", Integer, ForeignKey("item.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("state", String(4), nullable=False),  # open, held or done
    Column("token", String(32)),  # of the assignment that holds or filled the slot
    Column("reserved_for", String(40)),  # the only rater who gets an open slot; null for anybody
    UniqueConstraint("item_id", "n"),
    Index("ix_slot_campaign_id_state_rank", "campaign_id", "state", "rank"),
    Index("ix_slot_campaign_id_item_id", "campaign_id", "item_id"),
    Index("ix_slot_token", "token"),
    Index("ix_slot_campaign_id_reserved_for_state_rank", "campaign_id", "reserved_for", "state", "rank"),
)

MAX_PRIORITY = 100
MAX_TEXT = 400_000  # characters of one text
MAX_ITEM_TEXT = 1_000_000  # characters of all texts of an item, which a page shows at once
MAX_TURNS = 500  # of a prompt or an answer
MAX_TAGS = 50
MAX_TAG = 100  # characters
MAX_SOURCE = 200  # characters of the name of a model or an author
ROWS_PER_STATEMENT = 500


@dataclass(frozen=True)
class CandidateAnswer:
    """An answer of an item.  Raters never see `source` and `params`."""

    messages: Messages
    source: str | None = None  # the model or the author
    params: Mapping[str, Any] | None = None  # sampling parameters
    finished: bool | None = None  # False when the model reached its token limit


@dataclass(frozen=True)
class NewItem:
    prompt: Messages
    answers: tuple[CandidateAnswer, ...] = ()
    tags: tuple[str, ...] = ()
    reference: str | None = None
    priority: int = 0  # 0..100; higher priorities are judged first
    selection_probability: float | None = (
        None  # with which the strategy selected the item; None if it selected all
    )
    strategy: str = "all"
    source: str = ""  # file or artifact of the row
    # The row's id, metadata, tools and family.  Exports repeat them, and labellers never see them.
    carried: Mapping[str, Any] = field(default_factory=dict)


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
    carried: Mapping[str, Any] = field(default_factory=dict)  # as in `NewItem`
    archived_at: str | None = None
    reveals: str | None = None  # where an answer names its own model


@dataclass(frozen=True)
class AddedCounts:
    num_added: int
    num_duplicates: int  # rows that repeat an item of the campaign or an earlier row


def add(connection: Connection, campaign: Campaign, rows: Iterable[NewItem], *, by: str) -> AddedCounts:
    """Add items to the campaign.

    Duplicates are counted and skipped, so an import can be repeated.  Raises Invalid for a row that does not
    fit.
    """
    new: dict[str, dict[str, Any]] = {}  # by digest
    num_rows = 0
    created_at = now()
    for number, row in enumerate(rows, start=1):
        _check(campaign, row, number)
        content = {
            "prompt": [message_to_json(m) for m in row.prompt],
            "answers": [_answer_to_json(answer) for answer in row.answers],
        }
        item_digest = digest.of_json(
            [content["prompt"], [answer["messages"] for answer in content["answers"]]]
        )
        num_rows += 1
        values = content | {
            "campaign_id": campaign.id,
            "digest": item_digest,
            "tags": list(row.tags),
            "reference": row.reference,
            "priority": row.priority,
            "selection_probability": row.selection_probability,
            "strategy": row.strategy,
            "source": row.source,
            "created_at": created_at,
            "carried": dict(row.carried),
            "reveals": names_its_model(row),
        }
        new.setdefault(item_digest, values)
    digests = list(new)
    for start in range(0, len(digests), ROWS_PER_STATEMENT):
        part = digests[start : start + ROWS_PER_STATEMENT]
        for duplicate in connection.execute(
            select(item_table.c.digest).where(
                item_table.c.campaign_id == campaign.id, item_table.c.digest.in_(part)
            )
        ).scalars():
            del new[duplicate]
    new_rows = list(new.values())
    for start in range(0, len(new_rows), ROWS_PER_STATEMENT):
        part_rows = new_rows[start : start + ROWS_PER_STATEMENT]
        inserted = connection.execute(
            insert(item_table).returning(item_table.c.id, item_table.c.digest, item_table.c.priority),
            part_rows,
        ).all()
        slots = [
            slot_row(campaign, row.id, row.digest, row.priority, n)
            for row in inserted
            for n in range(campaign.overlap)
        ]
        connection.execute(insert(slot_table), slots)
    if new_rows:
        events.append(
            connection,
            verb="items.added",
            actor=by,
            campaign_id=campaign.id,
            subject=campaign.slug,
            body={"count": len(new_rows)},
        )
    return AddedCounts(len(new_rows), num_rows - len(new_rows))


def names_its_model(row: NewItem) -> str | None:
    """Where an answer names the model that wrote it, or None."""
    return self_naming.find([(answer.messages, answer.source) for answer in row.answers])


def why_unjudgeable(answers: Sequence[CandidateAnswer]) -> str | None:
    """The reason why the answers can be neither compared nor used for training, or None."""
    if not all(
        message.content.strip() or message.tool_calls or message.role == "tool"
        for answer in answers
        for message in answer.messages
    ):
        return "an answer is empty"
    texts = {
        tuple((message.role, message.content.strip(), message.tool_calls) for message in answer.messages)
        for answer in answers
    }
    return "two answers are the same" if len(texts) < len(answers) else None


def why_too_long(row: NewItem) -> str | None:
    """The reason why nobody can read an item on a page, or None."""
    longest_turns = max(map(len, (row.prompt, *(answer.messages for answer in row.answers))))
    if longest_turns > MAX_TURNS:
        return f"a conversation has {longest_turns:,} messages; the limit is {MAX_TURNS}"
    if len(row.tags) > MAX_TAGS:
        return f"there are {len(row.tags):,} tags; the limit is {MAX_TAGS}"
    if any(len(tag) > MAX_TAG for tag in row.tags):
        return f"a tag has more than {MAX_TAG} characters"
    if any(len(answer.source or "") > MAX_SOURCE for answer in row.answers):
        return f"the name of a model has more than {MAX_SOURCE} characters"
    texts = [
        text
        for turns in (row.prompt, *(answer.messages for answer in row.answers))
        for message in turns
        for text in (message.content, message.reasoning or "", *(str(call) for call in message.tool_calls))
    ]
    carried = json.dumps([row.carried, row.reference, [answer.params for answer in row.answers]], default=str)
    longest = max(map(len, [*texts, carried]))
    if longest > MAX_TEXT:
        return f"a text has {longest:,} characters; the limit is {MAX_TEXT:,}"
    total = sum(map(len, texts))
    if total > MAX_ITEM_TEXT:
        return f"prompt and answers have {total:,} characters together; the limit is {MAX_ITEM_TEXT:,}"
    return None


def set_priority(
    connection: Connection, campaign: Campaign, priorities: Mapping[int, int], *, by: str
) -> None:
    """Set the priority (0 to 100) of items, by item id."""
    for item_id, priority in priorities.items():
        if not 0 <= priority <= MAX_PRIORITY:
            raise Invalid({"priority": f"must be 0 to {MAX_PRIORITY}"})
        item = get(connection, campaign.id, item_id)
        connection.execute(update(item_table).where(item_table.c.id == item_id).values(priority=priority))
        for n in (
            connection.execute(select(slot_table.c.n).where(slot_table.c.item_id == item_id)).scalars().all()
        ):
            rank = slot_row(campaign, item_id, item.digest, priority, n)["rank"]
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
        raise NotFound(f"This campaign has no item {item_id}. Check the number.")
    return from_row(row)


def list_page(connection: Connection, campaign_id: int, *, after: int = 0, limit: int = 50) -> list[Item]:
    """Items after an id, in order of their ids, which is the order of import."""
    query = (
        select(item_table)
        .where(item_table.c.campaign_id == campaign_id, item_table.c.id > after)
        .order_by(item_table.c.id)
        .limit(limit)
    )
    return [from_row(row) for row in connection.execute(query)]


def archived_ids(campaign_id: int) -> Select[int]:
    """SQL query: the ids of the archived items."""
    return select(item_table.c.id).where(
        item_table.c.campaign_id == campaign_id, item_table.c.archived_at.is_not(None)
    )


def get_many(connection: Connection, campaign_id: int, ids: Sequence[int]) -> list[Item]:
    """Existing items among the ids, in order of their ids.  Pass a few hundred ids at most."""
    query = (
        select(item_table)
        .where(item_table.c.campaign_id == campaign_id, item_table.c.id.in_(ids))
        .order_by(item_table.c.id)
    )
    return [from_row(row) for row in connection.execute(query)]


def slot_counts(
    connection: Connection, campaign_ids: Sequence[int], *, at: datetime | None = None
) -> dict[int, dict[str, int]]:
    """Number of slots by campaign and state: {id: {"open": …, "held": …, "done": …}}.

    A slot whose lease has expired is open, also before the next rater takes it.
    """
    counts = {campaign_id: {"open": 0, "held": 0, "done": 0} for campaign_id in campaign_ids}
    by_state = (
        select(slot_table.c.campaign_id, slot_table.c.state, func.count())
        .where(slot_table.c.campaign_id.in_(campaign_ids))
        .group_by(slot_table.c.campaign_id, slot_table.c.state)
    )
    # The table of assignments is defined on this one.
    assignment = metadata.tables["assignment"]
    expired = (
        select(slot_table.c.campaign_id, literal("expired"), func.count())
        .join(assignment, assignment.c.token == slot_table.c.token)
        .where(
            assignment.c.campaign_id.in_(campaign_ids),
            assignment.c.how.is_(None),
            assignment.c.expires_at < format_time(at or datetime.now(UTC)),
            slot_table.c.state == "held",
        )
        .group_by(slot_table.c.campaign_id)
    )
    for campaign_id, state, count in connection.execute(union_all(by_state, expired)):
        if state == "expired":
            counts[campaign_id]["held"] -= count
            counts[campaign_id]["open"] += count
        else:
            counts[campaign_id][state] += count
    return counts


def from_row(row: Any) -> Item:
    return Item(
        id=row.id,
        campaign_id=row.campaign_id,
        digest=row.digest,
        prompt=_messages_from_json(row.prompt),
        answers=tuple(_answer_from_json(answer) for answer in row.answers),
        tags=tuple(row.tags),
        reference=row.reference,
        priority=row.priority,
        selection_probability=row.selection_probability,
        strategy=row.strategy,
        source=row.source,
        created_at=row.created_at,
        carried=row.carried,
        archived_at=row.archived_at,
        reveals=row.reveals,
    )


# ---------------------------------------------------------------- details


def _check(campaign: Campaign, row: NewItem, number: int) -> None:
    low, high = task_kinds.NUM_ANSWERS[campaign.kind]
    if not low <= len(row.answers) <= high:
        allowed = f"{low}" if low == high else f"{low} to {high}"
        raise Invalid(
            {"answers": f"row {number} has {len(row.answers)}; a {campaign.kind} item must have {allowed}"}
        )
    if not row.prompt or not all(answer.messages for answer in row.answers):
        raise Invalid({"prompt": f"row {number} has an empty prompt or answer"})
    if problem := storable_text.find_problem(
        [
            [message_to_json(m) for m in row.prompt],
            [_answer_to_json(answer) for answer in row.answers],
            row.tags,
            row.reference,
            row.source,
            row.carried,
        ]
    ):
        raise Invalid({"prompt": f"row {number} {problem}"})
    if problem := why_unjudgeable(row.answers) or why_too_long(row):
        raise Invalid({"answers": f"row {number}: {problem}"})
    if not 0 <= row.priority <= MAX_PRIORITY:
        raise Invalid({"priority": f"row {number}: must be 0 to {MAX_PRIORITY}"})
    if row.selection_probability is not None and not 0 < row.selection_probability <= 1:
        raise Invalid({"selection_probability": f"row {number}: must be above 0 and at most 1"})


def slot_row(campaign: Campaign, item_id: int, item_digest: str, priority: int, n: int) -> dict[str, Any]:
    """Values of a slot.  Bits of the rank: [n: 5][100 - priority: 7][random order: 32]."""
    shuffled = derive_seed(0, campaign.seed, item_digest, n) & 0xFFFFFFFF
    rank = (n << 39) | ((MAX_PRIORITY - priority) << 32) | shuffled
    return {"campaign_id": campaign.id, "item_id": item_id, "n": n, "rank": rank, "state": "open"}


def _answer_to_json(answer: CandidateAnswer) -> dict[str, Any]:
    return {
        "messages": [message_to_json(m) for m in answer.messages],
        "source": answer.source,
        "params": dict(answer.params) if answer.params else None,
        "finished": answer.finished,
    }


def _messages_from_json(rows: Sequence[Mapping[str, Any]]) -> Messages:
    return tuple(message_from_json(row) for row in rows)


def _answer_from_json(row: Mapping[str, Any]) -> CandidateAnswer:
    return CandidateAnswer(
        _messages_from_json(row["messages"]), row["source"], row["params"], row["finished"]
    )
