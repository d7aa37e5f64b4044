"""Events of the studio, filtered by what a viewer may see."""

from typing import Any

from pydantic import BaseModel

from fairlead.labels import campaigns, events
from fairlead.labels.events import Event
from fairlead.studio.auth import Viewer
from fairlead.studio.live import PAGE_SIZE, EventView
from fairlead.studio.state import Database

MAX_PAGES = 10  # pages of the table that are searched to fill one page of results

# Campaign events that every member may see.  Other events need the role viewer.
MEMBER_EVENTS = (
    "campaign.open",
    "campaign.paused",
    "campaign.closed",
    "campaign.changed",
    "guidelines.written",
)


class EventOut(BaseModel):
    seq: int  # also the `id` in the stream
    at: str
    verb: str  # such as "judgement.made"
    actor: str  # a pseudonym, or "system"
    campaign: str | None
    subject: str
    body: dict[str, Any]


class EventPage(BaseModel):
    events: list[EventOut]
    last: int  # pass as `after` to get the next page


def list_events(
    database: Database, viewer: Viewer, *, slug: str | None, after: int | None, limit: int
) -> EventPage:
    """Visible events after `after`, oldest first.  Without `after`, no events but the last number."""
    with database.read() as connection:
        last = events.last_seq(connection)
    if after is None:
        return EventPage(events=[], last=last)
    view = event_view(database, viewer, slug)
    visible: list[EventOut] = []
    position = after
    for _ in range(MAX_PAGES):
        with database.read() as connection:
            page = events.list_after(connection, position, limit=PAGE_SIZE)
        for event in page:
            position = event.seq
            if (fields := view(event)) is not None:
                visible.append(EventOut(**fields))
            if len(visible) == limit:
                return EventPage(events=visible, last=position)
        if len(page) < PAGE_SIZE:
            break
    return EventPage(events=visible, last=position)


def event_view(database: Database, viewer: Viewer, slug: str | None) -> EventView:
    """A function that maps an event to its JSON fields, or to None when the viewer may not see it.

    Raises NotFound when the viewer is no member of the campaign `slug`.
    """
    with database.read() as connection:
        slugs = {campaign.id: campaign.slug for campaign in campaigns.list_all(connection)}
    only_id = None
    if slug is not None:
        only_id = next((campaign_id for campaign_id, name in slugs.items() if name == slug), None)
        if only_id is None or not viewer.may("member", only_id):
            raise campaigns.unknown_campaign(slug)

    def view(event: Event) -> dict[str, Any] | None:
        if (only_id is not None and event.campaign_id != only_id) or not may_see(viewer, event):
            return None
        return {
            "seq": event.seq,
            "at": event.at,
            "verb": event.verb,
            "actor": event.actor,
            "campaign": slugs.get(event.campaign_id or 0),
            "subject": event.subject,
            "body": event.body,
        }

    return view


def may_see(viewer: Viewer, event: Event) -> bool:
    """Everybody sees events about themselves.

    Campaign events need a role there; all others are for owners.
    """
    if viewer.rater in (event.actor, event.subject) or viewer.role == "owner":
        return True
    if event.campaign_id is None:
        return False
    return viewer.may("viewer", event.campaign_id) or (
        viewer.may("member", event.campaign_id) and event.verb in MEMBER_EVENTS
    )
