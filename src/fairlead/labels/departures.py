"""What becomes of the items of somebody who labels no more: everybody can get them."""

from datetime import UTC, datetime

from sqlalchemy import Connection, select, union

from fairlead.labels import campaigns, leases, reservations
from fairlead.labels.assignments import assignment_table
from fairlead.labels.items import slot_table


def give_up_items(
    connection: Connection, rater: str, *, by: str, campaign_id: int | None = None, at: datetime | None = None
) -> None:
    """Release what is kept for the rater and what the rater holds, in one campaign or in all of them."""
    at = at or datetime.now(UTC)
    held = (assignment_table.c.rater == rater, assignment_table.c.how.is_(None))
    kept = select(slot_table.c.campaign_id).where(slot_table.c.reserved_for == rater)
    if campaign_id is None:
        anywhere = union(kept, select(assignment_table.c.campaign_id).where(*held))
        campaign_ids = sorted(connection.execute(anywhere).scalars())
    else:
        campaign_ids = [campaign_id]
    for each in campaign_ids:
        tokens = select(assignment_table.c.token).where(*held, assignment_table.c.campaign_id == each)
        in_order = tokens.order_by(assignment_table.c.slot_id).with_for_update()
        for token in connection.execute(in_order).scalars().all():
            leases.end(connection, token, "released", at=at)
        reservations.release(connection, campaigns.get_by_id(connection, each), rater, by=by)
