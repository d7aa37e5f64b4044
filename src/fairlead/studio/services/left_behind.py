"""Tasks that the viewer's browser keeps from an earlier pseudonym: whose they are, and taking them over."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from fairlead.labels import attempts, left_behind
from fairlead.labels.left_behind import EarlierRater
from fairlead.studio.auth import Viewer
from fairlead.studio.limits import Limiter
from fairlead.studio.services.labelling import Token
from fairlead.studio.state import Database

MAX_TASKS = 200

Name = Annotated[
    str,
    Field(
        max_length=500,
        description="A name that the viewer was known by.  Their present name always counts.",
    ),
]


class LeftBehindBody(BaseModel):
    tokens: Annotated[list[Token], Field(max_length=MAX_TASKS)]
    name: Name = ""


class TakeOverBody(BaseModel):
    name: Name = ""


class LeftBehindTask(BaseModel):
    token: str
    # yours: the names agree, and the earlier account cannot log in.  other: the names differ.
    # log_in: the account can log in, and only it can send.
    whose: Literal["yours", "other", "log_in"]


class LeftBehindTasks(BaseModel):
    tasks: list[LeftBehindTask]


def list_tasks(
    database: Database, wrong_names: Limiter, viewer: Viewer, body: LeftBehindBody, *, now: str
) -> LeftBehindTasks:
    """Whose tasks these are.  Tasks that do not exist are left out."""
    with database.read() as connection:
        raters = left_behind.find_raters(connection, viewer.campaign.id, body.tokens)
    names = _confirmed(database, wrong_names, viewer, raters.values(), body.name, now=now)
    tasks = [
        LeftBehindTask(token=token, whose=_whose(rater, viewer, names)) for token, rater in raters.items()
    ]
    return LeftBehindTasks(tasks=tasks)


def take_over(
    database: Database, wrong_names: Limiter, viewer: Viewer, token: str, name: str, *, now: str
) -> None:
    with database.read() as connection:
        raters = left_behind.find_raters(connection, viewer.campaign.id, [token])
    names = _confirmed(database, wrong_names, viewer, raters.values(), name, now=now)
    with database.write() as connection:
        left_behind.take_over(connection, viewer.campaign, token, viewer.rater, names=names)


def _confirmed(
    database: Database,
    wrong_names: Limiter,
    viewer: Viewer,
    raters: Collection[EarlierRater],
    name: str,
    *,
    now: str,
) -> list[str]:
    """The viewer's name, and the name that they give.  Names that nobody has are counted and limited."""
    names = [viewer.name, name] if name.strip() else [viewer.name]
    if len(names) > 1:
        attempt = wrong_names.begin(str(viewer.person), now=now)
        if any(rater.is_called(names) for rater in raters):
            with database.write() as connection:
                attempts.forgive(connection, attempt)
    return names


def _whose(
    rater: EarlierRater, viewer: Viewer, names: Collection[str]
) -> Literal["yours", "other", "log_in"]:
    if rater.rater == viewer.rater:
        return "yours"
    if rater.can_log_in:
        return "log_in"
    return "yours" if rater.is_called(names) else "other"
