"""What the chain of events covers: judgements, flags, guidelines and roles."""

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from fairlead.labels import (
    campaigns,
    events,
    flags,
    judgements,
    members,
    people,
    schema,
    seals,
)
from fairlead.labels.campaigns import guideline_table
from fairlead.labels.database import Database
from fairlead.labels.flags import flag_table
from fairlead.labels.items import item_table
from fairlead.labels.judgements import judgement_table
from fairlead.labels.members import membership_table
from fairlead.labels.people import person_table
from fairlead.labels.seals import seal_table
from labels.build import LEAD, judge, lease, open_campaign


def fill(connection: Connection) -> str:
    """Work of Ann: a corrected and a withdrawn answer, two flags, roles.  Returns her pseudonym."""
    campaign = open_campaign(connection, num_items=4)
    campaigns.write_guidelines(connection, campaign, "Second version.", by=LEAD)
    ann = people.add(connection, name="Ann", role="viewer", by=LEAD)
    members.join(connection, ann, campaign.id, "labeller", by=LEAD)
    first, second = lease(connection, campaign, ann.rater, count=2)
    judge(connection, first, dwell_ms={"A": 20}, ui={"viewport": [390, 844], "zoom": 1.25})
    judge(connection, first, {"choice": 8}, key="corrected", note="Kürzer.")
    judge(connection, second)
    judgements.skip(connection, second.id, ann.rater, reason="unclear", note="Nothing is said.")
    flag = flags.raise_flag(connection, first.id, ann.rater, reason="broken")
    flags.resolve_flag(connection, campaign.id, flag, by=LEAD)
    members.set_role(connection, campaign.id, ann.rater, "adjudicator", by=LEAD)
    members.set_paused(connection, campaign.id, ann.rater, paused=True, by=LEAD)
    people.set_role(connection, ann, "lead", by=LEAD)
    return ann.rater


CHANGES = {
    "judgement 2 was changed": update(judgement_table)
    .where(judgement_table.c.id == 2)
    .values(value={"preference": 2, "tie": None}),
    "item 1 was changed": update(item_table)
    .where(item_table.c.id == 1)
    .values(answers=[{"messages": [{"role": "assistant", "content": "Swapped."}], "source": None}]),
    "judgement 1 was changed": update(judgement_table).where(judgement_table.c.id == 1).values(active_ms=9),
    "judgement 4 was deleted": delete(judgement_table).where(judgement_table.c.id == 4),
    "flag 1 was changed": update(flag_table).where(flag_table.c.id == 1).values(note="x"),
    "flag 2 was deleted": delete(flag_table).where(flag_table.c.id == 2),
    "flag 9 was added": insert(flag_table).values(
        id=9, campaign_id=1, item_id=1, rater="r-1", reason="other", note="", raised_at="2026-01-01"
    ),
    "guideline 1/1 was changed": update(guideline_table)
    .where(guideline_table.c.version == 1)
    .values(text="Be unfair."),
    "guideline 1/3 was added": insert(guideline_table).values(
        campaign_id=1, version=3, text="x", written_by="r", written_at="2026-01-01"
    ),
    "membership 1/1 was changed": update(membership_table).values(role="lead"),
    "membership 1/1 was deleted": delete(membership_table),
    "person 1 was changed": update(person_table).values(role="owner"),
    "the seals of event": update(seal_table)
    .where(seal_table.c.kind == "judgement")
    .values(salt="0", digest="0"),
    "seals of an event are missing": delete(seal_table).where(seal_table.c.key == "1/2"),
}


@pytest.mark.parametrize("problem", CHANGES)
def test_what_is_changed_behind_the_back_of_the_studio_is_found(database: Database, problem: str) -> None:
    with database.write() as connection:
        fill(connection)
        assert events.verify(connection).problem is None
        connection.execute(CHANGES[problem])
        assert (events.verify(connection).problem or "").startswith(problem)


def test_erasing_and_removing_people_leaves_the_chain_valid(database: Database) -> None:
    with database.write() as connection:
        ann = people.get(connection, fill(connection))
        ben = people.add(connection, name="Ben")
        members.join(connection, ben, 1, "labeller", by=LEAD)
        members.remove(connection, 1, ben.rater, by=LEAD)
        people.erase(connection, ann, by=LEAD)
        assert events.verify(connection).problem is None
        # Whoever puts back what was erased is found.
        connection.execute(
            insert(person_table).values(
                id=ann.id, name="Ann", preferences={}, created_at="x", email_vouched=False
            )
        )
        assert events.verify(connection).problem == f"person {ann.id} was added without an event"


def test_equal_values_have_different_digests(database: Database) -> None:
    """Nobody learns a short answer from the events by trying what it may be."""
    with database.write() as connection:
        campaign = open_campaign(connection, num_items=2)
        for held in lease(connection, campaign, "r-0000000001", count=2):
            judge(connection, held)
        made = [event.body for event in events.list_latest(connection, verbs=["judgement.made"])]
        assert len({body["sealed"] for body in made}) == 2 and not any("value" in body for body in made)


LATER_CHANGES = [  # what the migrations after v0008 added
    "DROP TABLE webhook",
    "ALTER TABLE campaign DROP COLUMN read_first",
    "DROP INDEX ix_item_campaign_id_archived_at_id",
    "DROP INDEX ix_item_campaign_id_archived_at_priority_id",
    "DROP INDEX ix_flag_item_id",
    "DROP INDEX ix_slot_campaign_id_reserved_for_state_rank",
    "ALTER TABLE item DROP COLUMN archived_at",
    "ALTER TABLE item DROP COLUMN reveals",
    "ALTER TABLE slot DROP COLUMN reserved_for",
    "ALTER TABLE campaign DROP COLUMN archived_at",
    "ALTER TABLE campaign DROP COLUMN deleted_at",
    "ALTER TABLE membership DROP COLUMN quota",
]


def test_an_older_database_is_sealed_by_one_event(database: Database) -> None:
    with database.write() as connection:
        fill(connection)
        connection.execute(text("DROP TABLE seal"))
        for event in events.list_after(connection, 0):  # an older chain, without seals
            body = {name: value for name, value in event.body.items() if name != "sealed"}
            connection.execute(
                update(events.event_table).where(events.event_table.c.seq == event.seq).values(body=body)
            )
        rows = connection.execute(select(events.event_table).order_by(events.event_table.c.seq)).all()
        before = events.START
        for row in rows:
            content = (row.seq, row.at, row.verb, row.actor, row.campaign_id, row.subject, row.body)
            new = events._digest(*content, before)
            connection.execute(
                update(events.event_table)
                .where(events.event_table.c.seq == row.seq)
                .values(prev_digest=before, digest=new)
            )
            before = new
        connection.execute(update(events.chain_table).values(digest=before))
        for statement in LATER_CHANGES:
            connection.execute(text(statement))
        connection.execute(text("UPDATE alembic_version SET version_num = 'v0007'"))
    schema.upgrade(database)
    with database.write() as connection:
        [sealing] = events.list_latest(connection, verbs=["rows.sealed"])
        assert sealing.body["count"] == len(seals.all_rows(connection))
        assert events.verify(connection).problem is None
        connection.execute(CHANGES["judgement 1 was changed"])
        assert (events.verify(connection).problem or "").startswith("judgement 1 was changed")
