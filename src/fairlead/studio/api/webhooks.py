"""API routes of webhooks, for owners: the studio sends its events to other programs."""

from typing import Annotated

from fastapi import APIRouter, Path

from fairlead.studio.access_control import Owner
from fairlead.studio.services import webhooks
from fairlead.studio.services.webhooks import CreatedWebhook, NewWebhook, WebhookChange, WebhookOut, Webhooks
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["webhooks"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/webhooks", name="webhooks")
def list_webhooks(viewer: Owner, database: Database) -> Webhooks:
    """The webhooks of the studio, without their secrets."""
    return webhooks.list_webhooks(database)


@router.post("/webhooks", status_code=201, name="create_webhook")
def create_webhook(
    body: NewWebhook, viewer: Owner, database: Database, settings: Configured
) -> CreatedWebhook:
    """Send the events from now on to an address.  The secret that signs them is shown only here."""
    return webhooks.create_webhook(database, settings, viewer, body)


@router.patch("/webhooks/{webhook_id}", name="switch_webhook")
def switch_webhook(webhook_id: Id, body: WebhookChange, viewer: Owner, database: Database) -> WebhookOut:
    """Stop a webhook, or start it again with the events since it stopped."""
    return webhooks.switch_webhook(database, viewer, webhook_id, body)


@router.post("/webhooks/{webhook_id}/test", status_code=202, name="test_webhook")
def send_test(webhook_id: Id, viewer: Owner, database: Database) -> WebhookOut:
    """Send the event `webhook.test`, after the events that wait."""
    return webhooks.send_test(database, viewer, webhook_id)


@router.delete("/webhooks/{webhook_id}", status_code=204, name="delete_webhook")
def delete_webhook(webhook_id: Id, viewer: Owner, database: Database) -> None:
    """Delete a webhook.  Events that wait are not sent."""
    webhooks.delete_webhook(database, viewer, webhook_id)
