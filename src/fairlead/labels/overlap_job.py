"""Change how many people judge each item of a campaign that has many items.

The new number is in force at once, for new items too.  A job then fits the present items in short
transactions, because everybody's saves wait for each of them.
"""

from typing import Any

from sqlalchemy import Connection

from fairlead.labels import campaigns, item_overlap, item_search, jobs
from fairlead.labels.campaigns import Campaign

JOB_KIND = "overlap"
MOST_AT_ONCE = 500  # items per transaction


def change(connection: Connection, campaign: Campaign, overlap: int, *, by: str) -> int | None:
    """Set the number of people per item.  Returns the id of the job, or None if everything is done."""
    item_overlap.record(connection, campaign, overlap, by=by)
    if item_search.count_items(connection, [campaign.id])[campaign.id] <= MOST_AT_ONCE:
        item_overlap.fit_slots(connection, campaign.id, limit=MOST_AT_ONCE)
        return None
    return jobs.enqueue(connection, JOB_KIND, {"overlap": overlap}, actor=by, campaign_id=campaign.id)


def run(leased: jobs.LeasedJob) -> dict[str, Any]:
    """The handler of the job.  It fits items to the number that is in force when it reaches them."""
    campaign_id = leased.job.campaign_id
    assert campaign_id is not None, "overlap jobs belong to a campaign"
    with leased.database.read() as connection:
        num_all = item_search.count_items(connection, [campaign_id])[campaign_id]
    progress = leased.checkpoint or {"after": 0, "items": 0}
    while True:
        with leased.write(num_done=progress["items"], num_all=num_all) as connection:
            fitted = item_overlap.fit_slots(
                connection, campaign_id, after=progress["after"], limit=min(leased.portion, MOST_AT_ONCE)
            )
            if fitted is None:
                overlap = campaigns.get_by_id(connection, campaign_id).overlap
                return {"items": progress["items"], "overlap": overlap}
            progress = {"after": fitted.last_id, "items": progress["items"] + fitted.num_items}
            leased.save_checkpoint(connection, progress)
