"""Hide items and bring them back, or delete those that nobody has seen.

An archived item is handed out to nobody, is left out of lists and snapshots, and keeps its judgements.  An
answer that somebody is writing is still accepted.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, exists, func, or_, select, update

from fairlead.labels import events, item_overlap, leases
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import now
from fairlead.labels.errors import Conflict
from fairlead.labels.flags import flag_table
from fairlead.labels.items import item_table, slot_table

MAX_ITEMS = 500  # per call


def set_archived(
    connection: Connection, campaign: Campaign, item_ids: Sequence[int], *, archived: bool, by: str
) -> int:
    """Archive or restore items, and return how many changed."""
    changes = item_table.c.archived_at.is_(None) if archived else item_table.c.archived_at.is_not(None)
    this_campaign = (item_table.c.campaign_id == campaign.id, item_table.c.id.in_(item_ids))
    changed = list(
        connection.execute(
            update(item_table)
            .where(*this_campaign, changes)
            .values(archived_at=now() if archived else None)
            .returning(item_table.c.id)
        ).scalars()
    )
    if not changed:
        return 0
    if archived:
        held = select(assignment_table.c.token).where(
            assignment_table.c.item_id.in_(changed), assignment_table.c.how.is_(None)
        )
        for token in connection.execute(held.order_by(assignment_table.c.slot_id)).scalars().all():
            leases.end(connection, token, "released", at=datetime.now(UTC))
        connection.execute(
            delete(slot_table).where(slot_table.c.item_id.in_(changed), slot_table.c.state == "open")
        )
    else:
        item_overlap.fit_slots_of(connection, campaign, changed)
    events.append(
        connection,
        verb="items.archived" if archived else "items.restored",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"count": len(changed)},
    )
    return len(changed)


def delete_unseen(connection: Connection, campaign: Campaign, item_ids: Sequence[int], *, by: str) -> int:
    """Delete items for good, and return how many.  Raises Conflict if anybody has been handed one of them."""
    ids = list(
        connection.execute(
            select(item_table.c.id).where(
                item_table.c.campaign_id == campaign.id, item_table.c.id.in_(item_ids)
            )
        ).scalars()
    )
    seen = or_(
        exists().where(assignment_table.c.item_id == item_table.c.id),
        exists().where(flag_table.c.item_id == item_table.c.id),
    )
    num_seen = connection.execute(select(func.count()).where(item_table.c.id.in_(ids), seen)).scalar_one()
    if num_seen:
        raise Conflict(
            f"{num_seen} of these items {'has' if num_seen == 1 else 'have'} been handed out, so what people "
            "did with them would be lost. Archive them instead."
        )
    if not ids:
        return 0
    connection.execute(delete(slot_table).where(slot_table.c.item_id.in_(ids)))
    connection.execute(delete(item_table).where(item_table.c.id.in_(ids)))
    events.append(
        connection,
        verb="items.deleted",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"count": len(ids)},
    )
    return len(ids)
