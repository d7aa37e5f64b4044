"""Agreement between raters on the items that several of them judged.

`stats.agreement` defines the measures.  The latest judgement of each rater and item counts.  Ties are
values like any other.  Judgements that an item cannot be judged are left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy import Connection, exists, func, select

from fairlead.labels import judgements
from fairlead.labels.campaigns import Campaign
from fairlead.labels.judgements import Judgement, judgement_table
from fairlead.labels.task_kinds import TaskKind
from fairlead.stats.agreement import Agreement, Metric, agreement

MAX_ITEMS = 2000  # latest judged items
MAX_JUDGEMENTS = 10_000  # latest judgements that are searched for shared items

# What is compared, and the metric of the distance between two values.
COMPARED: Mapping[TaskKind, tuple[str, Metric]] = {
    "pairwise": ("which answer is better, or a tie", "nominal"),
    "ranking": ("the order of each pair of answers", "nominal"),
    "rating": ("the score", "interval"),
    "thumbs": ("good or bad", "nominal"),
    "aspects": ("the score of each aspect", "interval"),
    "conversation": ("the verdict on each turn", "interval"),
}


@dataclass(frozen=True)
class MeasuredAgreement:
    agreement: Agreement
    compared: str  # what was compared, in words
    num_items: int


def measure(connection: Connection, campaign: Campaign) -> MeasuredAgreement | None:
    """Measure a campaign.  None when no item has two raters, or when the kind has written texts only."""
    if campaign.kind not in COMPARED:
        return None
    current = (judgement_table.c.campaign_id == campaign.id, judgements.is_current())
    latest_first = (
        select(judgement_table.c.id, judgement_table.c.item_id, judgement_table.c.rater)
        .where(*current)
        .order_by(judgement_table.c.id.desc())
    )
    recent = latest_first.limit(MAX_JUDGEMENTS).subquery()
    another = exists().where(
        judgement_table.c.item_id == recent.c.item_id,
        judgement_table.c.rater != recent.c.rater,
        judgements.is_current(),
    )
    shared = (
        select(recent.c.item_id)
        .where(another)
        .group_by(recent.c.item_id)
        .order_by(func.max(recent.c.id).desc())
        .limit(MAX_ITEMS)
    )
    shared_ids = connection.execute(shared).scalars().all()
    # Sorted here: with ORDER BY, the database may scan all judgements in order of their ids.
    query = select(
        judgement_table.c.id, judgement_table.c.item_id, judgement_table.c.rater, judgement_table.c.value
    )
    rows = connection.execute(
        query.where(judgement_table.c.item_id.in_(shared_ids), judgements.is_current())
    ).all()
    last = {(row.item_id, row.rater): row.value for row in sorted(rows, key=lambda row: int(row.id))}
    return _measure(campaign.kind, last)


def measure_judgements(kind: TaskKind, loaded: Sequence[Judgement]) -> MeasuredAgreement | None:
    """Measure judgements that are already loaded, in any order.

    The same items are compared as by `measure`, so the same judgements give the same figures.
    """
    if kind not in COMPARED:
        return None
    by_id = sorted(loaded, key=lambda judgement: judgement.id)
    last = {(judgement.item_id, judgement.rater): judgement.value for judgement in by_id}
    num_raters = Counter(item_id for item_id, _ in last)
    latest_first = dict.fromkeys(
        judgement.item_id
        for judgement in reversed(by_id[-MAX_JUDGEMENTS:])
        if num_raters[judgement.item_id] > 1
    )
    shared_ids = set(list(latest_first)[:MAX_ITEMS])
    return _measure(kind, {key: value for key, value in last.items() if key[0] in shared_ids})


def _measure(kind: TaskKind, last: Mapping[tuple[int, str], Mapping[str, Any]]) -> MeasuredAgreement | None:
    units: dict[tuple[int, Any], list[float]] = {}
    for (item_id, _), value in sorted(last.items(), key=lambda entry: entry[0]):
        for part, number in _units_of(kind, value):
            units.setdefault((item_id, part), []).append(number)
    compared, metric = COMPARED[kind]
    result = agreement(list(units.values()), [item_id for item_id, _ in units], metric=metric)
    return result and MeasuredAgreement(result, compared, result.raw.n)


def _units_of(kind: TaskKind, value: Mapping[str, Any]) -> Iterator[tuple[Any, float]]:
    """The value of each part of the item that can be compared, such as an aspect or a turn."""
    if "cannot" in value:
        return
    if kind == "pairwise":
        yield "", _sign(value["preference"])
    elif kind == "ranking":
        placed = [(candidate, rank) for candidate, rank in enumerate(value["ranks"]) if rank is not None]
        for (first, above), (second, below) in combinations(placed, 2):
            yield (first, second), _sign(above - below)
    elif kind == "rating":
        yield "", value["score"]
    elif kind == "thumbs":
        yield "", float(value["label"])
    elif kind == "aspects":
        yield from value["aspects"].items()
    elif kind == "conversation":
        for turn, verdict in value["turns"].items():
            for name, number in verdict.items():
                yield (turn, name), float(number)


def _sign(number: float) -> float:
    return float((number > 0) - (number < 0))
