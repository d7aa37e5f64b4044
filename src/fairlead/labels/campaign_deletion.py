"""Delete a campaign with everything that belongs to it.

The campaign is gone for everybody at once.  A job then deletes the rows of a large campaign in short
transactions.  Events stay, and say which sealed rows were deleted.  Snapshots are artifacts of the project:
their files stay, because models were trained on them.
"""

from typing import Any

from sqlalchemy import Connection, delete, exists, func, select, update

from fairlead.labels import events, jobs
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign, campaign_table, guideline_read_table, guideline_table
from fairlead.labels.chats import (
    chat_answer_table,
    chat_answerer_table,
    chat_choice_table,
    chat_turn_table,
)
from fairlead.labels.credentials import invite_table
from fairlead.labels.database import now
from fairlead.labels.drafts import draft_table
from fairlead.labels.errors import Invalid
from fairlead.labels.flags import flag_table
from fairlead.labels.imports import set_aside_table
from fairlead.labels.items import item_table, slot_table
from fairlead.labels.jobs import job_table
from fairlead.labels.judgements import judgement_table
from fairlead.labels.members import membership_table
from fairlead.labels.seals import Row
from fairlead.labels.snapshot import snapshot_table

JOB_KIND = "delete"
ITEMS_PER_TRANSACTION = 100
MOST_AT_ONCE = 100  # items of a campaign that is deleted without a job


def has_judgements(connection: Connection, campaign: Campaign) -> bool:
    query = select(exists().where(judgement_table.c.campaign_id == campaign.id))
    return bool(connection.execute(query).scalar())


def start(connection: Connection, campaign: Campaign, *, confirm: str, by: str) -> int | None:
    """Delete a campaign.  Returns the id of the job that deletes its rows, or None if everything is gone.

    `confirm` is the campaign's name; only a campaign without judgements needs none.
    """
    if confirm.strip() != campaign.name and (confirm.strip() or has_judgements(connection, campaign)):
        raise Invalid({"confirm": f"must be the campaign's name as shown here: {campaign.name}"})
    for job in jobs.list_recent(connection, campaign_id=campaign.id, limit=1000):
        if not job.is_over:
            jobs.cancel(connection, job.id, actor=by)
    this_campaign = membership_table.c.campaign_id == campaign.id
    person_ids = list(connection.execute(select(membership_table.c.person_id).where(this_campaign)).scalars())
    connection.execute(delete(membership_table).where(this_campaign))
    connection.execute(delete(invite_table).where(invite_table.c.campaign_id == campaign.id))
    hidden = {"deleted_at": now(), "state": "closed", "slug": f"deleted-{campaign.id}-{campaign.seed[:8]}"}
    connection.execute(update(campaign_table).where(campaign_table.c.id == campaign.id).values(hidden))
    num_items = _count_items(connection, campaign.id)
    events.append(
        connection,
        verb="campaign.deleted",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"items": num_items},
        rows=[Row("membership", (campaign.id, person_id)) for person_id in person_ids],
    )
    if num_items > MOST_AT_ONCE:
        return jobs.enqueue(connection, JOB_KIND, {"campaign": campaign.id}, actor=by)
    while _delete_items(connection, campaign.id, by=by):
        pass
    _delete_rest(connection, campaign.id, by=by)
    return None


def run(leased: jobs.LeasedJob) -> dict[str, Any]:
    """The handler of the job."""
    campaign_id, by = leased.body["campaign"], leased.job.actor
    with leased.database.read() as connection:
        num_left = _count_items(connection, campaign_id)
    num_done = leased.checkpoint.get("items", 0)
    num_all = num_done + num_left
    while True:
        with leased.write(num_done=num_done, num_all=num_all) as connection:
            limit = min(leased.portion, ITEMS_PER_TRANSACTION)
            num_deleted = _delete_items(connection, campaign_id, by=by, limit=limit)
            num_done += num_deleted
            leased.save_checkpoint(connection, {"items": num_done})
            if not num_deleted:
                _delete_rest(connection, campaign_id, by=by)
                return {"items": num_done}


# ---------------------------------------------------------------- details


def _delete_items(
    connection: Connection, campaign_id: int, *, by: str, limit: int = ITEMS_PER_TRANSACTION
) -> int:
    """Delete a few items with all that was said about them, and return how many."""
    query = select(item_table.c.id).where(item_table.c.campaign_id == campaign_id).order_by(item_table.c.id)
    ids = list(connection.execute(query.limit(limit)).scalars())
    if not ids:
        return 0
    gone = [
        Row(kind, (row_id,))
        for kind, table in (("judgement", judgement_table), ("flag", flag_table))
        for row_id in connection.execute(select(table.c.id).where(table.c.item_id.in_(ids))).scalars()
    ]
    tokens = select(assignment_table.c.token).where(assignment_table.c.item_id.in_(ids))
    turns = select(chat_turn_table.c.id).where(chat_turn_table.c.token.in_(tokens))
    for table in (chat_choice_table, chat_answer_table):
        connection.execute(delete(table).where(table.c.turn_id.in_(turns)))
    for table in (chat_turn_table, draft_table):
        connection.execute(delete(table).where(table.c.token.in_(tokens)))
    for table in (judgement_table, flag_table, assignment_table, slot_table):
        connection.execute(delete(table).where(table.c.item_id.in_(ids)))
    connection.execute(delete(item_table).where(item_table.c.id.in_(ids)))
    if gone:
        events.append(
            connection,
            verb="judgements.deleted",
            actor=by,
            campaign_id=campaign_id,
            body={"items": len(ids), "rows": len(gone)},
            rows=gone,
        )
    return len(ids)


def _delete_rest(connection: Connection, campaign_id: int, *, by: str) -> None:
    versions = connection.execute(
        select(guideline_table.c.version).where(guideline_table.c.campaign_id == campaign_id)
    ).scalars()
    gone = [Row("guideline", (campaign_id, version)) for version in versions]
    of_jobs = select(job_table.c.id).where(job_table.c.campaign_id == campaign_id)
    connection.execute(delete(set_aside_table).where(set_aside_table.c.job_id.in_(of_jobs)))
    for table in (guideline_read_table, guideline_table, chat_answerer_table, snapshot_table):
        connection.execute(delete(table).where(table.c.campaign_id == campaign_id))
    connection.execute(delete(campaign_table).where(campaign_table.c.id == campaign_id))
    if gone:
        events.append(
            connection,
            verb="guidelines.deleted",
            actor=by,
            campaign_id=campaign_id,
            body={"versions": len(gone)},
            rows=gone,
        )


def _count_items(connection: Connection, campaign_id: int) -> int:
    query = select(func.count()).where(item_table.c.campaign_id == campaign_id)
    return int(connection.execute(query).scalar_one())
