"""What a route is given besides its input: the database, the settings, the time.  All belong to one app; nothing is global."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from fairlead.labels import database as databases
from fairlead.studio.settings import Settings

Clock = Callable[[], str]  # the time as `labels.database.now` gives it


def database(request: Request) -> databases.Database:
    found: databases.Database = request.app.state.database
    return found


def settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


def time(request: Request) -> str:
    clock: Clock = request.app.state.clock
    return clock()


Database = Annotated[databases.Database, Depends(database)]
Configured = Annotated[Settings, Depends(settings)]
Time = Annotated[str, Depends(time)]
