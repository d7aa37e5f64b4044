"""Webhooks of the studio: list, create, stop, test and delete."""

from typing import Annotated

from pydantic import BaseModel, Field

from fairlead.labels import campaigns, webhook_delivery, webhooks
from fairlead.labels.errors import Invalid
from fairlead.labels.webhooks import Webhook
from fairlead.studio.auth import Viewer
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database


class NewWebhook(BaseModel):
    url: Annotated[str, Field(max_length=2000, description="Where events are sent, with POST.")]
    verbs: Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=50)] = Field(
        [], description="Events, such as judgement.made or judgement.*; an empty list means all."
    )
    campaign: Annotated[str | None, Field(max_length=100)] = Field(
        None, description="Short name of a campaign; null means all."
    )


class WebhookChange(BaseModel):
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
        slugs = {campaign.id: campaign.slug for campaign in campaigns.list_all(connection)}
        return Webhooks(webhooks=[_out(webhook, slugs) for webhook in webhooks.list_all(connection)])


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
    slugs = {campaign.id: campaign.slug} if campaign else {}
    return CreatedWebhook(**_out(webhook, slugs).model_dump(), secret=webhook.secret)


def switch_webhook(database: Database, viewer: Viewer, id: int, body: WebhookChange) -> WebhookOut:
    with database.write() as connection:
        webhook = webhooks.switch(connection, id, is_on=body.on, by=viewer.rater)
        return _out(webhook, _slugs_of(webhook, campaigns.list_all(connection)))


def send_test(database: Database, viewer: Viewer, id: int) -> WebhookOut:
    with database.write() as connection:
        webhook = webhooks.send_test(connection, id, by=viewer.rater)
        return _out(webhook, _slugs_of(webhook, campaigns.list_all(connection)))


def delete_webhook(database: Database, viewer: Viewer, id: int) -> None:
    with database.write() as connection:
        webhooks.remove(connection, id, by=viewer.rater)


def _slugs_of(webhook: Webhook, every: list[campaigns.Campaign]) -> dict[int, str]:
    return {campaign.id: campaign.slug for campaign in every if campaign.id == webhook.campaign_id}


def _out(webhook: Webhook, slugs: dict[int, str]) -> WebhookOut:
    return WebhookOut(
        id=webhook.id,
        url=webhook.url,
        verbs=list(webhook.verbs),
        campaign=slugs.get(webhook.campaign_id or 0),
        on=webhook.is_on,
        sent=webhook.sent_seq,
        failures=webhook.num_failures,
        next_at=webhook.next_at,
        last_result=webhook.last_result,
        last_at=webhook.last_at,
        made_by=webhook.made_by,
        made_at=webhook.made_at,
    )
