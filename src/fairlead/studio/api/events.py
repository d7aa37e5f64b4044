"""What happened, as it happens: a stream of server-sent events, and the same in pages for who cannot hold a connection."""

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from fairlead.labels import campaigns, events
from fairlead.labels.errors import NotFound
from fairlead.labels.events import Event
from fairlead.studio import auth
from fairlead.studio.auth import Viewer
from fairlead.studio.live import PAGE, Live, Shown
from fairlead.studio.permissions import Person
from fairlead.studio.state import Database

router = APIRouter(tags=["events"])

MOST = 500  # events of one page
MOST_PAGES = 10  # that are looked through for one
LARGEST = 1 << 53

# Of a campaign, what concerns all who work in it; the rest is for those who may watch.
FOR_ALL = ("campaign.open", "campaign.paused", "campaign.closed", "campaign.changed", "guidelines.written")


class EventOut(BaseModel):
    seq: int  # its number: the `id` of the stream
    at: str
    verb: str  # such as "judgement.made"
    actor: str  # a pseudonym, or "system"
    campaign: str | None
    subject: str
    body: dict[str, Any]


class EventPage(BaseModel):
    events: list[EventOut]
    last: int  # ask for what comes after this number


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events without an end.",
        }
    },
)
async def stream(
    request: Request,
    viewer: Person,
    database: Database,
    campaign: Annotated[str | None, Query(max_length=80)] = None,
    after: Annotated[int | None, Query(ge=0, lt=LARGEST)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Each event that you may see, as JSON in `data`, with its number as `id`.

    A connection that was lost goes on after `Last-Event-ID`, which browsers send by themselves; `after` says the same for the first one.
    Without either it begins now.  Empty messages keep the line open.
    """
    live: Live = request.app.state.live
    clock = request.app.state.clock

    def rights() -> Shown | None:
        now = auth.again(viewer, database, clock())
        try:
            return None if now is None else _shown(database, now, campaign)
        except NotFound:  # no part in the campaign any more: the stream ends
            return None

    await anyio.to_thread.run_sync(_shown, database, viewer, campaign)  # while a refusal can still be said

    if (
        last_event_id is not None
        and last_event_id.isascii()
        and last_event_id.isdigit()
        and len(last_event_id) < 17
    ):
        after = int(last_event_id)
    live.check_room(viewer.rater)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        live.stream(viewer.rater, rights, after=after), media_type="text/event-stream", headers=headers
    )


@router.get("/events/list")
def page(
    viewer: Person,
    database: Database,
    campaign: Annotated[str | None, Query(max_length=80)] = None,
    after: Annotated[int | None, Query(ge=0, lt=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> EventPage:
    """Events that you may see with a number above `after`, oldest first; without it only the number from which to go on."""
    with database.read() as connection:
        last = events.last_seq(connection)
    if after is None:
        return EventPage(events=[], last=last)
    shown, found, place = _shown(database, viewer, campaign), list[EventOut](), after
    for _ in range(MOST_PAGES):
        with database.read() as connection:
            some = events.list_after(connection, place, limit=PAGE)
        for event in some:
            place = event.seq
            if (said := shown(event)) is not None:
                found.append(EventOut(**said))
            if len(found) == limit:
                return EventPage(events=found, last=place)
        if len(some) < PAGE:
            break
    return EventPage(events=found, last=place)


def _shown(database: Database, viewer: Viewer, slug: str | None) -> Shown:
    """Raises NotFound for a campaign in which this person is nobody."""
    with database.read() as connection:
        slugs = {one.id: one.slug for one in campaigns.list_all(connection)}
    only = (
        next((number for number, name in slugs.items() if name == slug), None) if slug is not None else None
    )
    if slug is not None and (only is None or not viewer.may("member", only)):
        raise NotFound(f"there is no campaign {slug!r}.")

    def shown(event: Event) -> dict[str, Any] | None:
        if (only is not None and event.campaign_id != only) or not may_see(viewer, event):
            return None
        return {
            "seq": event.seq, "at": event.at, "verb": event.verb, "actor": event.actor,
            "campaign": slugs.get(event.campaign_id or 0), "subject": event.subject, "body": event.body,
        }  # fmt: skip

    return shown


def may_see(viewer: Viewer, event: Event) -> bool:
    """Own things always; those of a campaign by the role there, and what belongs to no campaign as an owner."""
    if viewer.rater in (event.actor, event.subject) or viewer.role == "owner":
        return True
    if event.campaign_id is None:
        return False
    return viewer.may("viewer", event.campaign_id) or (
        viewer.may("member", event.campaign_id) and event.verb in FOR_ALL
    )
