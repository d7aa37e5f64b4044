"""What people are told about their own work, and about guidelines that changed under them."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from fairlead.labels import assignments, campaigns, items, judgements
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time


@dataclass(frozen=True)
class LabellerPace:
    today: int  # judgements
    total: int
    median_active_ms: int | None  # of today's


@dataclass(frozen=True)
class LabellerCampaign:
    """A campaign as somebody who labels in it sees it."""

    campaign: Campaign
    done: int  # judgements by everybody
    wanted: int
    pace: LabellerPace
    num_held: int  # tasks that they have begun or been handed
    paused: bool
    guidelines_version: int
    guidelines_read: int  # the version that they read last; 0: none


def get_pace(
    connection: Connection,
    campaign_id: int,
    rater: str,
    *,
    utc_offset_min: int = 0,
    at: datetime | None = None,
) -> LabellerPace:
    """`utc_offset_min` says when the person's day began."""
    local = (at or datetime.now(UTC)) + timedelta(minutes=utc_offset_min)
    since = local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(minutes=utc_offset_min)
    times = judgements.list_active_times(connection, campaign_id, rater, since=format_time(since))
    return LabellerPace(
        len(times),
        judgements.count_current(connection, campaign_id, rater),
        round(statistics.median(times)) if times else None,
    )


def list_campaigns(
    connection: Connection, rater: str, paused: Mapping[int, bool], utc_offset_min: int = 0
) -> list[LabellerCampaign]:
    """Of these campaigns (id -> whether the person is paused there) those that are past the draft; open ones first, the newest first."""
    found = []
    every = [one for one in campaigns.list_all(connection, ids=list(paused)) if one.state != "draft"]
    counts = items.slot_counts(connection, [one.id for one in every])
    for one in every:
        guide, slots = campaigns.get_guidelines(connection, one.id), counts[one.id]
        found.append(
            LabellerCampaign(
                one, done=slots["done"], wanted=sum(slots.values()), pace=get_pace(connection, one.id, rater, utc_offset_min=utc_offset_min),
                num_held=len(assignments.list_leased(connection, one, rater)), paused=paused[one.id],
                guidelines_version=guide.version if guide else 0,
                guidelines_read=campaigns.last_version_read(connection, one.id, rater),
            )
        )  # fmt: skip
    return sorted(found, key=lambda each: each.campaign.state != "open")
