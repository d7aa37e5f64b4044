"""The cache of dashboard figures."""

from fastapi import FastAPI

from fairlead.labels.database import Database
from studio.busy_campaign import busy


def test_figures_are_computed_once_for_all_who_look(app: FastAPI, database: Database) -> None:
    one, _ = busy(database)
    cache = app.state.dashboard
    first = cache.figures(one)
    assert cache.figures(one).progress is first.progress
    cache.forget(one)
    assert cache.figures(one).progress is not first.progress
