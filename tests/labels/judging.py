"""Judgements at given times, for tests of the figures of a campaign."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from fairlead.labels import progress
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.progress import Progress
from labels.build import VALUES, judge, lease

NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)


def judge_next(
    connection: Connection,
    campaign: Campaign,
    rater: str,
    at: datetime,
    value: dict[str, Any] | None = None,
    active_s: float = 30,
) -> int:
    """Lease the next item and judge it at once.  Returns the id of the judgement."""
    assignment = lease(connection, campaign, rater, at=at)[0]
    judgement = judge(
        connection, assignment, value or VALUES[campaign.kind], active_ms=int(active_s * 1000), at=at
    )
    return judgement.id


def load_progress(database: Database, campaign: Campaign, at: datetime = NOW) -> Progress:
    with database.read() as connection:
        return progress.get_progress(connection, campaign, at=at)
