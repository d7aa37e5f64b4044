"""Figures that labellers see about their own work."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from sqlalchemy import Connection, func, or_, select

from fairlead.labels import assignments, campaigns, items, judgements, local_days, members
from fairlead.labels.assignments import assignment_table
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import format_time
from fairlead.labels.items import slot_table


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
    left: int  # items that the labeller can still judge, those that they hold included
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
    zone: tzinfo = UTC,
    at: datetime | None = None,
) -> LabellerPace:
    """The labeller's counts today, in the studio's time zone, and in all."""
    since = local_days.start_of_day(local_days.day_of(at or datetime.now(UTC), zone), zone)
    times = judgements.list_active_times(connection, campaign_id, rater, since=format_time(since))
    return LabellerPace(
        len(times),
        judgements.count_current(connection, campaign_id, rater),
        round(statistics.median(times)) if times else None,
    )


def list_campaigns(
    connection: Connection, rater: str, paused: Mapping[int, bool], zone: tzinfo = UTC
) -> list[LabellerCampaign]:
    """Campaigns in which the rater labels, except drafts and archived ones: open ones first, then newest.

    `paused` maps the id of each campaign to whether the rater is paused there.
    """
    started = [
        campaign
        for campaign in campaigns.list_all(connection, ids=list(paused))
        if campaign.state != "draft" and campaign.archived_at is None
    ]
    counts = items.slot_counts(connection, [campaign.id for campaign in started])
    of_labeller = []
    for campaign in started:
        guidelines = campaigns.get_guidelines(connection, campaign.id)
        slots = counts[campaign.id]
        num_held = len(assignments.list_leased(connection, campaign, rater))
        is_offered = campaign.state == "open" and not paused[campaign.id]
        of_labeller.append(
            LabellerCampaign(
                campaign=campaign,
                done=slots["done"],
                wanted=sum(slots.values()),
                pace=get_pace(connection, campaign.id, rater, zone=zone),
                left=num_held
                + (_count_offered(connection, campaign.id, rater, num_held) if is_offered else 0),
                num_held=num_held,
                paused=paused[campaign.id],
                guidelines_version=guidelines.version if guidelines else 0,
                guidelines_read=campaigns.last_version_read(connection, campaign.id, rater),
            )
        )
    return sorted(of_labeller, key=lambda work: work.campaign.state != "open")


def _count_offered(connection: Connection, campaign_id: int, rater: str, num_held: int) -> int:
    """Number of items with an open judgement that this rater has neither judged nor skipped nor holds.

    Items that are kept for others do not count, nor do items beyond the rater's quota.
    """
    open_slots = (
        slot_table.c.campaign_id == campaign_id,
        slot_table.c.state == "open",
        or_(slot_table.c.reserved_for.is_(None), slot_table.c.reserved_for == rater),
    )
    num_open = select(func.count(slot_table.c.item_id.distinct())).where(*open_slots)
    # Counted apart: a rater has seen few of the items that are open.
    num_seen = select(func.count(slot_table.c.item_id.distinct())).join_from(
        assignment_table, slot_table, assignment_table.c.item_id == slot_table.c.item_id
    )
    seen = num_seen.where(
        *open_slots,
        assignment_table.c.campaign_id == campaign_id,
        assignment_table.c.rater == rater,
        or_(assignment_table.c.how.is_(None), assignment_table.c.how.in_(("judged", "skipped"))),
    )
    offered = int(connection.execute(num_open).scalar_one() - connection.execute(seen).scalar_one())
    quota = members.quota_of(connection, campaign_id, rater)
    if quota is None:
        return offered
    num_judged = judgements.count_current(connection, campaign_id, rater)
    return max(0, min(offered, quota - num_judged - num_held))
