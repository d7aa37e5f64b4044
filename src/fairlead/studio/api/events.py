"""API routes of events: a stream of server-sent events, and pages for clients without streaming."""

import re
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from fairlead.labels.errors import NotFound
from fairlead.studio import auth
from fairlead.studio.access_control import Person
from fairlead.studio.live import EventView, LiveEvents
from fairlead.studio.services import events
from fairlead.studio.services.events import EventPage
from fairlead.studio.state import Database

router = APIRouter(tags=["events"])

MAX_EVENTS = 500  # of one page
MAX_SEQ = 1 << 53
SEQ = re.compile(r"[0-9]{1,16}")

Slug = Annotated[str | None, Query(max_length=80)]
After = Annotated[int | None, Query(ge=0, lt=MAX_SEQ)]


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "An endless stream of events.",
        }
    },
)
async def stream(
    request: Request,
    viewer: Person,
    database: Database,
    campaign: Slug = None,
    after: After = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream the events that the viewer may see: JSON in `data`, the event's number in `id`.

    A reconnecting client continues after `Last-Event-ID`, which browsers send by themselves.  `after` does
    the same for the first connection.  Without either, the stream starts with the next event.  Empty
    messages keep the connection open.
    """
    live: LiveEvents = request.app.state.live
    clock = request.app.state.clock

    def current_view() -> EventView | None:
        """What the viewer may see now; None ends the stream."""
        current = auth.refresh(viewer, database, clock())
        try:
            return None if current is None else events.event_view(database, current, campaign)
        except NotFound:  # no longer a member of the campaign
            return None

    # Raises NotFound here, while the response can still be an error.
    await anyio.to_thread.run_sync(events.event_view, database, viewer, campaign)

    if last_event_id is not None and SEQ.fullmatch(last_event_id):
        after = int(last_event_id)
    live.check_room(viewer.rater)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        live.stream(viewer.rater, current_view, after=after), media_type="text/event-stream", headers=headers
    )


@router.get("/events/list", name="page")
def list_events(
    viewer: Person,
    database: Database,
    campaign: Slug = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
) -> EventPage:
    """Visible events after the number `after`, oldest first.

    Without `after`, only the number to continue from.
    """
    return events.list_events(database, viewer, slug=campaign, after=after, limit=limit)
