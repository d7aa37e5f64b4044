"""How often people prefer the answer that they were shown first, among two answers.

The dashboard counts in the database, and a datasheet counts the judgements of its snapshot.  Both look at
the latest judgements only and compute the interval here, so the same judgements give the same figures.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, or_, select

from fairlead.labels.campaigns import Campaign
from fairlead.labels.judgements import Judgement, judgement_table
from fairlead.labels.throughput import count_where, is_current
from fairlead.stats.interval import Interval, proportion

MAX_JUDGEMENTS = 20_000  # latest judgements that are looked at


def share(counts: Sequence[int]) -> Interval | None:
    """The share of first answers, given how often the first and the other answer were preferred."""
    first, other = counts
    return proportion(first, first + other) if first + other else None


def total(by_rater: Mapping[str, tuple[int, int]]) -> Interval | None:
    return share([sum(counts) for counts in zip(*by_rater.values(), strict=True)] or (0, 0))


def count_by_rater(
    connection: Connection, campaign: Campaign, *, latest: int = MAX_JUDGEMENTS
) -> dict[str, tuple[int, int]]:
    """By rater: how often the first answer was preferred, and how often the other.  Ties do not count."""
    if campaign.kind != "pairwise":
        return {}
    preference = judgement_table.c.value["preference"].as_integer()
    first = judgement_table.c.order[0].as_integer()
    prefers_first = or_(and_(preference > 0, first == 0), and_(preference < 0, first == 1))
    ids = select(judgement_table.c.id).where(judgement_table.c.campaign_id == campaign.id, is_current())
    oldest = ids.order_by(judgement_table.c.id.desc()).offset(latest).limit(1)
    after = connection.execute(oldest).scalar() or 0
    query = select(judgement_table.c.rater, count_where(prefers_first), count_where(preference != 0))
    rows = connection.execute(
        query.where(
            judgement_table.c.campaign_id == campaign.id, judgement_table.c.id > after, is_current()
        ).group_by(judgement_table.c.rater)
    )
    return {
        rater: (int(num_first), int(num_decided) - int(num_first)) for rater, num_first, num_decided in rows
    }


def share_of_judgements(
    campaign: Campaign, judgements: Sequence[Judgement], *, latest: int = MAX_JUDGEMENTS
) -> Interval | None:
    """The same share of judgements that are already loaded, in any order."""
    if campaign.kind != "pairwise":
        return None
    looked_at = sorted(judgements, key=lambda judgement: judgement.id)[-latest:]
    decided = [judgement for judgement in looked_at if judgement.value.get("preference")]
    num_first = sum((j.value["preference"] > 0) == (j.order[0] == 0) for j in decided)
    return share((num_first, len(decided) - num_first))
