"""Figures that labellers see about their own work."""

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
    today: int  # current judgements today
    total: int
    median_active_ms: int | None  # of today's judgements


@dataclass(frozen=True)
class LabellerCampaign:
    """A campaign as a labeller sees it."""

    campaign: Campaign
    done: int  # judgements by all raters
    wanted: int
    pace: LabellerPace
    num_held: int  # assignments leased by the labeller
    paused: bool
    guidelines_version: int
    guidelines_read: int  # version the labeller read last; 0 for none


def get_pace(
    connection: Connection,
    campaign_id: int,
    rater: str,
    *,
    utc_offset_min: int = 0,
    at: datetime | None = None,
) -> LabellerPace:
    """The labeller's counts today and in all.  `utc_offset_min` determines when the local day began."""
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
    """Campaigns in which the rater labels, except drafts: open ones first, then newest first.

    `paused` maps the id of each campaign to whether the rater is paused there.
    """
    started = [
        campaign for campaign in campaigns.list_all(connection, ids=list(paused)) if campaign.state != "draft"
    ]
    counts = items.slot_counts(connection, [campaign.id for campaign in started])
    of_labeller = []
    for campaign in started:
        guidelines = campaigns.get_guidelines(connection, campaign.id)
        slots = counts[campaign.id]
        of_labeller.append(
            LabellerCampaign(
                campaign=campaign,
                done=slots["done"],
                wanted=sum(slots.values()),
                pace=get_pace(connection, campaign.id, rater, utc_offset_min=utc_offset_min),
                num_held=len(assignments.list_leased(connection, campaign, rater)),
                paused=paused[campaign.id],
                guidelines_version=guidelines.version if guidelines else 0,
                guidelines_read=campaigns.last_version_read(connection, campaign.id, rater),
            )
        )
    return sorted(of_labeller, key=lambda work: work.campaign.state != "open")
