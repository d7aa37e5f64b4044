"""How far people agree on the items that several of them judged, by kind of task.  What agreement is: `stats.agreement`.

Of each person the last judgement of an item counts.  Ties are values like any other; who could not judge says nothing.
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

MAX_ITEMS = 2000  # the ones judged last
MAX_JUDGEMENTS = 10_000  # judgements, the last ones, among which they are looked for

# What is compared, and how far apart two values are.
COMPARED: Mapping[TaskKind, tuple[str, Metric]] = {
    "pairwise": ("which answer is better, or a tie", "nominal"),
    "ranking": ("the order of each two answers", "nominal"),
    "rating": ("the score", "interval"),
    "thumbs": ("good or bad", "nominal"),
    "aspects": ("the score of each aspect", "interval"),
    "conversation": ("the verdict on each turn", "interval"),
}


@dataclass(frozen=True)
class MeasuredAgreement:
    agreement: Agreement
    compared: str  # what was compared
    num_items: int


def measure(connection: Connection, campaign: Campaign) -> MeasuredAgreement | None:
    """None where no item was judged by two people, or where texts were written, which are not compared."""
    if campaign.kind not in COMPARED:
        return None
    mine = (judgement_table.c.campaign_id == campaign.id, judgements.is_current())
    last_ones = (
        select(judgement_table.c.id, judgement_table.c.item_id, judgement_table.c.rater)
        .where(*mine)
        .order_by(judgement_table.c.id.desc())
    )
    recent = last_ones.limit(MAX_JUDGEMENTS).subquery()
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
    chosen = connection.execute(shared).scalars().all()
    # Sorted here: a database that is asked for an order may go through all judgements to have it.
    query = select(
        judgement_table.c.id, judgement_table.c.item_id, judgement_table.c.rater, judgement_table.c.value
    )
    rows = connection.execute(
        query.where(judgement_table.c.item_id.in_(chosen), judgements.is_current())
    ).all()
    last = {(row.item_id, row.rater): row.value for row in sorted(rows, key=lambda row: int(row.id))}
    return _measure(campaign.kind, last)


def measure_judgements(kind: TaskKind, made: Sequence[Judgement]) -> MeasuredAgreement | None:
    """The same of judgements that are at hand, in the order in which they came."""
    if kind not in COMPARED:
        return None
    last = {(each.item_id, each.rater): each.value for each in made}
    people = Counter(item_id for item_id, _ in last)
    recent = list(dict.fromkeys(each.item_id for each in reversed(made) if people[each.item_id] > 1))[
        :MAX_ITEMS
    ]
    chosen = set(recent)
    return _measure(kind, {key: value for key, value in last.items() if key[0] in chosen})


def _measure(kind: TaskKind, last: Mapping[tuple[int, str], Mapping[str, Any]]) -> MeasuredAgreement | None:
    units: dict[tuple[int, Any], list[float]] = {}
    for (item_id, _), value in last.items():
        for part, said in _units_of(kind, value):
            units.setdefault((item_id, part), []).append(said)
    of, metric = COMPARED[kind]
    found = agreement(list(units.values()), [item_id for item_id, _ in units], metric=metric)
    return found and MeasuredAgreement(found, of, found.raw.n)


def _units_of(kind: TaskKind, value: Mapping[str, Any]) -> Iterator[tuple[Any, float]]:
    """What a judgement says of each part of its item."""
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
            for name, said in verdict.items():
                yield (turn, name), float(said)


def _sign(number: float) -> float:
    return float((number > 0) - (number < 0))
