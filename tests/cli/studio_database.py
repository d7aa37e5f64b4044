"""The database of a project's studio, and judgements in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.labels import leases
from fairlead.labels.database import Database, open_database
from labels import build


@contextmanager
def database(home: Path) -> Iterator[Database]:
    opened = open_database(str(home / "studio.db"))
    yield opened
    opened.close()


def add_judgements(home: Path, num: int = 3) -> None:
    """A campaign of comparisons with judgements by one person."""
    with database(home) as opened, opened.write() as connection:
        campaign = build.open_campaign(connection)
        for assignment in leases.lease_items(connection, campaign, build.ANN, count=num):
            build.judge(connection, assignment)
