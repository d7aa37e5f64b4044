"""Dependencies that give a route the app's database, its settings and the current time."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from fairlead.labels import database as label_database
from fairlead.studio.settings import Settings

Clock = Callable[[], str]  # returns the time in the format of `labels.database.now`


def get_database(request: Request) -> label_database.Database:
    database: label_database.Database = request.app.state.database
    return database


def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def get_time(request: Request) -> str:
    clock: Clock = request.app.state.clock
    return clock()


Database = Annotated[label_database.Database, Depends(get_database)]
Configured = Annotated[Settings, Depends(get_settings)]
Time = Annotated[str, Depends(get_time)]
