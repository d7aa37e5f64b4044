"""The page of webhooks, for owners."""

from fastapi import APIRouter, Request, Response

from fairlead.studio import page_templates
from fairlead.studio.access_control import Owner
from fairlead.studio.services import campaigns, webhooks
from fairlead.studio.state import Database

router = APIRouter()


@router.get("/webhooks")
def webhooks_page(request: Request, viewer: Owner, database: Database) -> Response:
    return page_templates.page(
        request,
        "webhooks.html",
        viewer,
        webhooks=webhooks.list_webhooks(database).webhooks,
        campaigns=campaigns.list_campaigns(database, viewer),
    )
