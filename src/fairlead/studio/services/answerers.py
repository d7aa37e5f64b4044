"""Answerers of a live chat: the models and endpoints that reply to a labeller's messages."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.core import digest
from fairlead.labels import campaigns, chats
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import MAX_ANSWERERS, Answerer
from fairlead.labels.errors import Conflict, Stale
from fairlead.studio import chat_backends
from fairlead.studio.auth import Viewer
from fairlead.studio.request_body import RequestBody
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database

NO_ANSWERER = "no model replies in this chat yet. Choose at least one before you open the campaign."


class AnswererBody(RequestBody):
    source: Annotated[str, Field(max_length=200, description="endpoint:NAME/MODEL or model:ARTIFACT")]
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 512


class AnswerersBody(RequestBody):
    answerers: Annotated[list[AnswererBody], Field(min_length=1, max_length=MAX_ANSWERERS)]
    version: Annotated[str, Field(max_length=100)] | None = Field(
        None,
        description="The answerers as you saw them. If somebody else has changed them, the answer is 409.",
    )


class AnswerersOut(BaseModel):
    answerers: list[AnswererBody]
    endpoints: list[str]  # available endpoints
    models: list[str]  # available model artifacts
    version: str  # differs whenever the answerers differ


def get_answerers(database: Database, settings: Settings, campaign: Campaign) -> AnswerersOut:
    endpoints, models = chat_backends.available(settings.project)
    stored = list_answerers(database, campaign)
    answerers = [
        AnswererBody.model_validate({"source": answerer.source, **answerer.params}) for answerer in stored
    ]
    return AnswerersOut(answerers=answerers, endpoints=endpoints, models=models, version=version_of(stored))


def list_answerers(database: Database, campaign: Campaign) -> list[Answerer]:
    with database.read() as connection:
        return chats.list_answerers(connection, campaign.id)


def version_of(answerers: Sequence[Answerer]) -> str:
    return digest.short(digest.of_json([[answerer.source, answerer.params] for answerer in answerers]))


def set_answerers(
    database: Database,
    settings: Settings,
    viewer: Viewer,
    bodies: list[AnswererBody],
    *,
    version: str | None = None,
) -> None:
    """Raises Stale when the answerers are no longer those of `version`."""
    answerers = to_answerers(bodies, settings)
    with database.write() as connection:
        campaigns.lock_settings(connection, viewer.campaign)
        stored = chats.list_answerers(connection, viewer.campaign.id)
        if version is not None and version not in (version_of(stored), version_of(answerers)):
            raise Stale(
                "Somebody else has changed the answerers since you opened the page, to: "
                f"{', '.join(answerer.source for answerer in stored) or 'none'}. "
                "Nothing was saved yet. Save again to replace them.",
                current={"version": version_of(stored)},
            )
        chats.set_answerers(connection, viewer.campaign, answerers, by=viewer.rater)


def to_answerers(bodies: list[AnswererBody], settings: Settings) -> list[Answerer]:
    """Raises Invalid when a source does not exist."""
    for body in bodies:
        chat_backends.check_source(settings.project, body.source)
    return [
        Answerer(body.source, {"temperature": body.temperature, "max_tokens": body.max_tokens})
        for body in bodies
    ]


def require_answerers(connection: Connection, campaign: Campaign) -> None:
    """Raises Conflict for a live chat without answerers.  Other kinds need none."""
    if campaign.kind == "chat" and not chats.list_answerers(connection, campaign.id):
        raise Conflict(NO_ANSWERER)
