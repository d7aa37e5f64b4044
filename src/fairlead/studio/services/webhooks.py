"""Webhooks of the studio: list, create, stop, test and delete."""

from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import campaigns, webhook_delivery, webhooks
from fairlead.labels.errors import Invalid
from fairlead.labels.webhooks import Webhook
from fairlead.studio.auth import Viewer
from fairlead.studio.request_body import RequestBody
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database


class NewWebhook(RequestBody):
    url: Annotated[str, Field(max_length=2000, description="Where events are sent, with POST.")]
    verbs: Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=50)] = Field(
        [], description="Events, such as judgement.made or judgement.*; an empty list means all."
    )
    campaign: Annotated[str | None, Field(max_length=100)] = Field(
        None, description="Short name of a campaign; null means all."
    )


class WebhookChange(RequestBody):
    on: bool = Field(description="True starts the webhook at its place, with the events since then.")


class WebhookOut(BaseModel):
    id: int
    url: str
    verbs: list[str]
    campaign: str | None
    on: bool
    sent: int = Field(description="Number of the last event that was delivered or not wanted.")
    failures: int = Field(description="Failed attempts since the last success.")
    next_at: str = Field(description="No attempt before this time.")
    last_result: str | None = Field(description="Status of the last attempt, or what went wrong.")
    last_at: str | None
    made_by: str
    made_at: str


class CreatedWebhook(WebhookOut):
    secret: str = Field(description="Verifies signatures. It is not shown again.")


class Webhooks(BaseModel):
    webhooks: list[WebhookOut]


def list_webhooks(database: Database) -> Webhooks:
    with database.read() as connection:
        return Webhooks(webhooks=[_out(connection, webhook) for webhook in webhooks.list_all(connection)])


def create_webhook(
    database: Database, settings: Settings, viewer: Viewer, body: NewWebhook
) -> CreatedWebhook:
    is_address = webhooks.why_no_url(body.url) is None
    if is_address and not settings.private_webhooks and (problem := webhook_delivery.why_private(body.url)):
        raise Invalid({"url": problem})
    with database.write() as connection:
        campaign = campaigns.get(connection, body.campaign) if body.campaign else None
        webhook = webhooks.create(
            connection,
            body.url,
            verbs=body.verbs,
            campaign_id=campaign.id if campaign else None,
            by=viewer.rater,
        )
        return CreatedWebhook(**_out(connection, webhook).model_dump(), secret=webhook.secret)


def switch_webhook(database: Database, viewer: Viewer, id: int, body: WebhookChange) -> WebhookOut:
    with database.write() as connection:
        return _out(connection, webhooks.switch(connection, id, is_on=body.on, by=viewer.rater))


def send_test(database: Database, viewer: Viewer, id: int) -> WebhookOut:
    with database.write() as connection:
        return _out(connection, webhooks.send_test(connection, id, by=viewer.rater))


def delete_webhook(database: Database, viewer: Viewer, id: int) -> None:
    with database.write() as connection:
        webhooks.remove(connection, id, by=viewer.rater)


def _out(connection: Connection, webhook: Webhook) -> WebhookOut:
    of_campaign = webhook.campaign_id
    return WebhookOut(
        id=webhook.id,
        url=webhook.url,
        verbs=list(webhook.verbs),
        campaign=None if of_campaign is None else campaigns.get_by_id(connection, of_campaign).slug,
        on=webhook.is_on,
        sent=webhook.sent_seq,
        failures=webhook.num_failures,
        next_at=webhook.next_at,
        last_result=webhook.last_result,
        last_at=webhook.last_at,
        made_by=webhook.made_by,
        made_at=webhook.made_at,
    )
