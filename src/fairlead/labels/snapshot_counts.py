"""Counts of the rows that a snapshot would have, without making it.

The database reduces every judgement to its outline, see `snapshot_outlines`, and counts the items whose
judgements have the same outlines.  One example item for each such group goes through the code that writes the
rows, so a preview and its snapshot agree in every figure.

This assumes that training accepts the texts of the items: those that it would reject are refused at import.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, String, case, func, literal, select
from sqlalchemy.sql.functions import aggregate_strings

from fairlead.data.records import Message
from fairlead.labels import items, judgements, snapshot_filters, snapshot_outlines
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import ChatTurn
from fairlead.labels.items import CandidateAnswer, Item
from fairlead.labels.judgements import Judgement, judgement_table
from fairlead.labels.snapshot_filters import (
    EXCLUSIONS,
    JudgedItem,
    RowTally,
    SelectedRows,
    SnapshotCounts,
    SnapshotFilters,
)
from fairlead.labels.snapshot_outlines import FIRST_TEXT, SECOND_TEXT
from fairlead.labels.snapshot_rows import LeftOut, NativeRow

BETWEEN_JUDGEMENTS = "\n"  # outlines have no line breaks
USED = "-"  # of a judgement that no filter excludes; otherwise the place in EXCLUSIONS


class _Outlined(NamedTuple):
    """A judgement as far as a preview knows it."""

    outline: str
    exclusions: str  # a character for each set of filters: USED or a place in EXCLUSIONS


def count_rows(
    connection: Connection, campaign: Campaign, alternatives: Sequence[SnapshotFilters]
) -> list[SnapshotCounts]:
    """The counts of the snapshots that these filters would make.  The filters must be valid."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL jit = off")  # compiling would take longer than counting
    kinds_of_exclusion = list(dict.fromkeys(_without_form(filters) for filters in alternatives))
    place = [kinds_of_exclusion.index(_without_form(filters)) for filters in alternatives]
    tallies = [RowTally() for _ in alternatives]
    examples = _Examples(connection, campaign)
    for group, num_items in _groups(connection, campaign, kinds_of_exclusion).items():
        selected: dict[tuple[int, bool], SelectedRows] = {}
        for filters, n, tally in zip(alternatives, place, tallies, strict=True):
            form = (n, filters.by_item)
            if form not in selected:
                selected[form] = _select(examples, group, n, filters)
            for _ in tally.rows(selected[form], filters, num_items=num_items):
                pass
    num_raters = _count_raters(connection, campaign, kinds_of_exclusion)
    return [replace(tally.counts(), raters=num_raters[n]) for n, tally in zip(place, tallies, strict=True)]


def _without_form(filters: SnapshotFilters) -> SnapshotFilters:
    """The filters on single judgements, without those that depend on rows."""
    return replace(filters, ties=True, min_margin=0, by_item=False, equal_items=False)


def _select(
    examples: "_Examples", group: tuple[_Outlined, ...], n: int, filters: SnapshotFilters
) -> SelectedRows:
    left_out = [EXCLUSIONS[int(part.exclusions[n])] for part in group if part.exclusions[n] != USED]
    outlines = tuple(part.outline for part in group if part.exclusions[n] == USED)
    return SelectedRows(len(group), left_out, set(), examples.rows(outlines, filters))


# ---------------------------------------------------------------- queries


def _groups(
    connection: Connection, campaign: Campaign, kinds_of_exclusion: Sequence[SnapshotFilters]
) -> Counter[tuple[_Outlined, ...]]:
    """The number of items by the outlines of their judgements."""
    outline = snapshot_outlines.outline(campaign.kind, connection.dialect.name)
    codes = [_exclusion(filters) for filters in kinds_of_exclusion]
    of_judgement: Any = outline
    for code in codes:
        of_judgement = code.concat(of_judgement)
    by_judgement = (
        select(judgement_table.c.item_id, of_judgement.label("of_judgement"))
        .where(*_are_counted(campaign))
        .subquery()
    )
    of_item = aggregate_strings(by_judgement.c.of_judgement, BETWEEN_JUDGEMENTS).label("of_item")
    by_item = select(of_item).group_by(by_judgement.c.item_id).subquery()
    counted = select(by_item.c.of_item, func.count()).group_by(by_item.c.of_item)
    groups: Counter[tuple[_Outlined, ...]] = Counter()
    num_codes = len(codes)
    for text, num_items in connection.execute(counted):
        # The codes are written in front one after another, so the last stands first.
        parts = (
            _Outlined(part[num_codes:], part[:num_codes][::-1]) for part in text.split(BETWEEN_JUDGEMENTS)
        )
        groups[tuple(sorted(parts))] += num_items
    return groups


def _count_raters(
    connection: Connection, campaign: Campaign, kinds_of_exclusion: Sequence[SnapshotFilters]
) -> list[int]:
    """The number of raters with a used judgement, for each set of filters."""
    is_used = [
        func.max(case((_exclusion(filters) == USED, 1), else_=0)).label(f"used_{n}")
        for n, filters in enumerate(kinds_of_exclusion)
    ]
    of_raters = select(*is_used).where(*_are_counted(campaign)).group_by(judgement_table.c.rater)
    rows = connection.execute(of_raters).all()
    return [sum(row[n] for row in rows) for n in range(len(is_used))]


def _are_counted(campaign: Campaign) -> tuple[ColumnElement[bool], ...]:
    """SQL conditions: the judgements that a snapshot reads."""
    return (
        judgement_table.c.campaign_id == campaign.id,
        judgements.is_current_in(campaign.id),
        judgement_table.c.item_id.not_in(items.archived_ids(campaign.id)),
    )


def _exclusion(filters: SnapshotFilters) -> ColumnElement[str]:
    """The same as `snapshot_filters.why_excluded`, as a character."""
    table = judgement_table.c
    conditions: list[tuple[str, Any]] = []
    if filters.guidelines:
        conditions.append(
            (snapshot_filters.OTHER_GUIDELINES, table.guidelines_version.not_in(filters.guidelines))
        )
    if filters.without_raters:
        conditions.append((snapshot_filters.OTHER_RATER, table.rater.in_(filters.without_raters)))
    if filters.raters:
        conditions.append((snapshot_filters.OTHER_RATER, table.rater.not_in(filters.raters)))
    if filters.since:
        conditions.append((snapshot_filters.OTHER_TIME, table.made_at < filters.since))
    if filters.until:
        conditions.append((snapshot_filters.OTHER_TIME, table.made_at >= filters.until))
    if not filters.late:
        conditions.append((snapshot_filters.LATE, table.late))
    if not filters.quick:
        conditions.append((snapshot_filters.QUICK, table.quick))
    used = literal(USED, String)
    if not conditions:
        return used
    codes = [(condition, str(EXCLUSIONS.index(reason))) for reason, condition in conditions]
    return case(*codes, else_=used)


# ---------------------------------------------------------------- examples


class _Examples:
    """The rows of items whose judgements have given outlines.  Each is built once."""

    def __init__(self, connection: Connection, campaign: Campaign) -> None:
        self._connection = connection
        self._campaign = campaign
        self._rows: dict[tuple[bool, tuple[str, ...]], list[NativeRow | LeftOut]] = {}

    def rows(self, outlines: tuple[str, ...], filters: SnapshotFilters) -> list[NativeRow | LeftOut]:
        key = (filters.by_item, outlines)
        if key not in self._rows:
            judged = self._judged(outlines)
            self._rows[key] = list(
                snapshot_filters.build_rows(self._campaign, judged, judged.judgements, filters, weight=1.0)
            )
        return self._rows[key]

    def _judged(self, outlines: tuple[str, ...]) -> JudgedItem:
        kind = self._campaign.kind
        values = [snapshot_outlines.value_of(kind, outline) for outline in outlines]
        roles = ""
        turns: dict[str, list[ChatTurn]] = {}
        if kind in ("conversation", "chat"):
            # All judgements of an item have the same roles, except those that say that nobody can judge.
            roles = max(map(snapshot_outlines.roles_of, outlines), default="")
        if kind == "chat":
            turns = {str(n): snapshot_outlines.turns_of(outline) for n, outline in enumerate(outlines)}
        num_answers = max((len(value.get("ranks", ())) for value in values), default=0)
        item = self._item(roles, num_answers)
        return JudgedItem(item, [self._judgement(n, value) for n, value in enumerate(values)], turns)

    def _item(self, roles: str, num_answers: int) -> Item:
        if (item_id := snapshot_outlines.unusual_item(roles)) is not None:
            return items.get(self._connection, self._campaign.id, item_id)
        texts = [FIRST_TEXT, SECOND_TEXT, *(f"Answer {n}" for n in range(3, num_answers + 1))]
        return Item(
            id=0,
            campaign_id=self._campaign.id,
            digest="",
            prompt=snapshot_outlines.prompt_of(roles) or (Message("user", "A question"),),
            answers=tuple(CandidateAnswer((Message("assistant", text),)) for text in texts),
            tags=(),
            reference=None,
            priority=0,
            selection_probability=None,
            strategy="",
            source="",
            created_at="",
        )

    def _judgement(self, number: int, value: dict[str, Any]) -> Judgement:
        return Judgement(
            id=number,
            campaign_id=self._campaign.id,
            item_id=0,
            assignment_id=str(number),
            rater="a rater",
            value=value,
            margin=None,
            reasons=(),
            note="",
            order=tuple(range(max(2, len(value.get("ranks", ()))))),
            guidelines_version=1,
            active_ms=0,
            dwell_ms={},
            ui={},
            late=False,
            quick=False,
            implausible=False,
            withdraws=False,
            supersedes=None,
            made_at="",
        )
