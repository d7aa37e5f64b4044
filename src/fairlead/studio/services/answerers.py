"""Answerers of a live chat: the models and endpoints that reply to a labeller's messages."""

from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from fairlead.labels import chats
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import MAX_ANSWERERS, Answerer
from fairlead.labels.errors import Conflict
from fairlead.studio import chat_backends
from fairlead.studio.auth import Viewer
from fairlead.studio.settings import Settings
from fairlead.studio.state import Database

NO_ANSWERER = "this live chat has no answerer yet. Choose at least one before opening the campaign."


class AnswererBody(BaseModel):
    source: Annotated[str, Field(max_length=200, description="endpoint:NAME/MODEL or model:ARTIFACT")]
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 512


class AnswerersBody(BaseModel):
    answerers: Annotated[list[AnswererBody], Field(min_length=1, max_length=MAX_ANSWERERS)]


class AnswerersOut(BaseModel):
    answerers: list[AnswererBody]
    endpoints: list[str]  # available endpoints
    models: list[str]  # available model artifacts


def get_answerers(database: Database, settings: Settings, campaign: Campaign) -> AnswerersOut:
    endpoints, models = chat_backends.available(settings.project)
    answerers = [
        AnswererBody.model_validate({"source": answerer.source, **answerer.params})
        for answerer in list_answerers(database, campaign)
    ]
    return AnswerersOut(answerers=answerers, endpoints=endpoints, models=models)


def list_answerers(database: Database, campaign: Campaign) -> list[Answerer]:
    with database.read() as connection:
        return chats.list_answerers(connection, campaign.id)


def set_answerers(database: Database, settings: Settings, viewer: Viewer, bodies: list[AnswererBody]) -> None:
    answerers = to_answerers(bodies, settings)
    with database.write() as connection:
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
