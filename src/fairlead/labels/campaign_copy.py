"""Make a campaign like another one: its settings and guidelines, and if wanted its people and items.

Judgements, flags and snapshots stay behind.  The items of a large campaign are copied by a job.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from fairlead.labels import campaigns, chats, item_search, items, jobs, members, people
from fairlead.labels.campaigns import Campaign, CampaignSettings
from fairlead.labels.items import Item, NewItem, item_table

JOB_KIND = "copy"
ITEMS_PER_TRANSACTION = 200
MOST_AT_ONCE = 200  # items that are copied without a job


@dataclass(frozen=True)
class Copied:
    campaign: Campaign
    job: int | None  # copies the items; None if nothing is left to do


def copy(
    connection: Connection,
    campaign: Campaign,
    *,
    name: str,
    with_guidelines: bool,
    with_people: bool,
    with_items: bool,
    by: str,
) -> Copied:
    """A draft with the settings of a campaign."""
    guidelines = campaigns.get_guidelines(connection, campaign.id) if with_guidelines else None
    settings = {column: getattr(campaign, column) for column in campaigns.CHANGEABLE_COLUMNS}
    settings |= {
        "name": name,
        "kind": campaign.kind,
        "options": campaign.options,
        "guidelines": guidelines.text if guidelines else "",
    }
    copy_made = campaigns.create(connection, CampaignSettings(**settings), by=by)
    if answerers := chats.list_answerers(connection, campaign.id):
        chats.set_answerers(connection, copy_made, answerers, by=by)
    if with_people:
        for member in members.list_of_campaign(connection, campaign.id):
            person = people.get(connection, member.rater)
            members.join(connection, person, copy_made.id, member.role, by=by)
    if not with_items:
        return Copied(copy_made, None)
    page = _page(connection, campaign.id, after=0, limit=MOST_AT_ONCE + 1)
    if len(page) > MOST_AT_ONCE:
        body = {"from": campaign.id}
        return Copied(
            copy_made,
            jobs.enqueue(connection, JOB_KIND, body, actor=by, campaign_id=copy_made.id),
        )
    if page:
        items.add(connection, copy_made, [_new_item(item) for item in page], by=by)
    return Copied(copy_made, None)


def run(leased: jobs.LeasedJob) -> dict[str, Any]:
    """The handler of the job."""
    assert leased.job.campaign_id is not None, "copies belong to a campaign"
    source_id = leased.body["from"]
    with leased.database.read() as connection:
        num_all = item_search.count_items(connection, [source_id])[source_id]
    progress = leased.checkpoint or {"after": 0, "added": 0}
    while True:
        with leased.write(num_done=progress["added"], num_all=num_all) as connection:
            limit = min(leased.portion, ITEMS_PER_TRANSACTION)
            page = _page(connection, source_id, after=progress["after"], limit=limit)
            if not page:
                return {"added": progress["added"]}
            copy_made = campaigns.get_by_id(connection, leased.job.campaign_id)
            added = items.add(connection, copy_made, [_new_item(item) for item in page], by=leased.job.actor)
            progress = {"after": page[-1].id, "added": progress["added"] + added.num_added}
            leased.save_checkpoint(connection, progress)


def _page(connection: Connection, campaign_id: int, *, after: int, limit: int) -> list[Item]:
    query = (
        select(item_table)
        .where(
            item_table.c.campaign_id == campaign_id,
            item_table.c.archived_at.is_(None),
            item_table.c.id > after,
        )
        .order_by(item_table.c.id)
        .limit(limit)
    )
    return [items.from_row(row) for row in connection.execute(query)]


def _new_item(item: Item) -> NewItem:
    return NewItem(
        prompt=item.prompt,
        answers=item.answers,
        tags=item.tags,
        reference=item.reference,
        priority=item.priority,
        selection_probability=item.selection_probability,
        strategy=item.strategy,
        source=item.source,
        carried=item.carried,
    )
