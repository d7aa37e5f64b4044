"""Judgements at given times, for tests of the figures of a campaign."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from fairlead.labels import flags, members, people, progress
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import Database
from fairlead.labels.progress import Progress
from fairlead.labels.task_kinds import TaskKind
from labels.build import ANN, LEAD, VALUES, add_chat_turn, judge, lease, open_campaign

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


def judged_and_flagged(database: Database, kind: TaskKind = "pairwise", **settings: Any) -> Campaign:
    """Three items of which one is judged and flagged, with a member."""
    with database.write() as connection:
        campaign = open_campaign(connection, kind=kind, num_items=3, **settings)
        members.join(connection, people.add(connection, name="Ann"), campaign.id, "labeller", by=LEAD)
        [assignment] = lease(connection, campaign, ANN)
        if kind == "chat":
            add_chat_turn(connection, campaign, assignment)
        judge(connection, assignment, VALUES[kind])
        flags.raise_flag(connection, assignment.id, ANN, reason="broken")
    return campaign


def load_progress(database: Database, campaign: Campaign, at: datetime = NOW) -> Progress:
    with database.read() as connection:
        return progress.get_progress(connection, campaign, at=at)
