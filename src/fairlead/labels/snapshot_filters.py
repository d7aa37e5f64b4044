"""Filters of a snapshot: which current judgements become rows, and how many are left out for which reason."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from fairlead.labels import chats, snapshot_rows
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import ChatTurn
from fairlead.labels.database import parse_time
from fairlead.labels.errors import Invalid
from fairlead.labels.items import Item
from fairlead.labels.judgements import Judgement
from fairlead.labels.snapshot_rows import LeftOut, NativeRow, RowFile

# Reasons to leave out a judgement whatever its value.
OTHER_GUIDELINES = "another version of the guidelines"
OTHER_RATER = "another person"
OTHER_TIME = "another time"
LATE = "came late"
QUICK = "faster than anybody reads"
EXCLUSIONS = (OTHER_GUIDELINES, OTHER_RATER, OTHER_TIME, LATE, QUICK)


@dataclass(frozen=True, kw_only=True)
class SnapshotFilters:
    """Which judgements a snapshot uses, and in which form.

    The defaults use every current judgement, with one row for each.
    """

    ties: bool = True
    min_margin: int = 0  # 0..3; drops comparisons with a smaller margin, except ties
    by_item: bool = False  # aggregate the judgements of an item into one row
    equal_items: bool = False  # only without by_item: the weights of an item's comparisons sum to 1
    guidelines: tuple[int, ...] = ()  # versions of the guidelines; empty for all
    raters: tuple[str, ...] = ()  # pseudonyms; empty for all
    without_raters: tuple[str, ...] = ()
    since: str | None = None  # made at this time or later
    until: str | None = None  # made before this time
    late: bool = True  # use judgements submitted after the lease ended
    quick: bool = True  # use judgements made faster than the answers can be read


@dataclass(frozen=True)
class SnapshotCounts:
    judgements: int  # current judgements of the campaign
    used: int  # judgements that pass the filters on single judgements
    items: int  # items with at least one row
    raters: int  # raters with a used judgement
    files: dict[RowFile, int]  # number of rows in each file
    left_out: dict[str, int]  # number left out, by reason


class JudgedItem(NamedTuple):
    """An item with its current judgements."""

    item: Item
    judgements: list[Judgement]  # in order of their ids
    turns: Mapping[str, Sequence[ChatTurn]]  # live chat only: turns by assignment id


class SelectedRows(NamedTuple):
    """The rows of one item, before filters that depend on the row (ties and margins)."""

    num_judgements: int
    left_out: list[str]  # the reason for each judgement left out
    raters: set[str]  # of the used judgements
    rows: list[NativeRow | LeftOut]


class RowTally:
    """Counts rows while items are processed one by one."""

    def __init__(self) -> None:
        self.judgements = self.used = self.items = 0
        self.raters: set[str] = set()
        self.files: Counter[RowFile] = Counter()
        self.left_out: Counter[str] = Counter()

    def rows(
        self, selected: SelectedRows, filters: SnapshotFilters, *, num_items: int = 1
    ) -> Iterator[NativeRow]:
        """Count the rows of an item, and yield those that pass the filters.

        `num_items` counts as many items with equal judgements.
        """
        self.judgements += num_items * selected.num_judgements
        self.used += num_items * (selected.num_judgements - len(selected.left_out))
        for exclusion in selected.left_out:
            self.left_out[exclusion] += num_items
        self.raters |= selected.raters
        has_row = False
        for row in selected.rows:
            if isinstance(row, LeftOut):
                self.left_out[row.why] += num_items * row.num
            elif reason := _why_row_excluded(row.row, filters):
                self.left_out[reason] += num_items
            else:
                self.files[row.file] += num_items
                has_row = True
                yield row
        self.items += num_items * has_row

    def counts(self) -> SnapshotCounts:
        return SnapshotCounts(
            judgements=self.judgements,
            used=self.used,
            items=self.items,
            raters=len(self.raters),
            files={file: self.files[file] for file in sorted(self.files)},
            left_out={reason: self.left_out[reason] for reason in sorted(self.left_out)},
        )


def validate(campaign: Campaign, filters: SnapshotFilters) -> SnapshotFilters:
    """Return the filters in canonical form, with sorted lists.  Raises Invalid with every wrong value."""
    problems = {}
    if not 0 <= filters.min_margin <= 3:
        problems["min_margin"] = "must be 0 to 3"
    if filters.min_margin and campaign.kind not in ("pairwise", "chat"):
        problems["min_margin"] = f"must be 0: {campaign.kind} judgements have no margin"
    for name in ("since", "until"):
        if (time := getattr(filters, name)) is not None and not _is_time(time):
            problems[name] = "must be a time such as 2026-01-31T00:00:00.000000Z"
    if filters.by_item and filters.equal_items:
        problems["equal_items"] = "cannot be combined with by_item; turn one of them off"
    if problems:
        raise Invalid(problems)
    return replace(
        filters,
        guidelines=tuple(sorted(set(filters.guidelines))),
        raters=tuple(sorted(set(filters.raters))),
        without_raters=tuple(sorted(set(filters.without_raters))),
    )


def to_json(filters: SnapshotFilters) -> dict[str, Any]:
    """Convert tuples to lists, as JSON stores them."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(filters).items()
    }


def from_json(values: Mapping[str, Any]) -> SnapshotFilters:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return SnapshotFilters(**fields)


def select_rows(campaign: Campaign, judged: JudgedItem, filters: SnapshotFilters) -> SelectedRows:
    """Apply the filters on single judgements, and build the rows of the rest."""
    used: list[Judgement] = []
    left_out: list[str] = []
    for judgement in judged.judgements:
        reason = why_excluded(judgement, filters)
        if reason is None:
            used.append(judgement)
        else:
            left_out.append(reason)
    weight = 1 / len(used) if filters.equal_items and used else 1.0
    rows = list(build_rows(campaign, judged, used, filters, weight=weight))
    return SelectedRows(len(judged.judgements), left_out, {judgement.rater for judgement in used}, rows)


def build_rows(
    campaign: Campaign,
    judged: JudgedItem,
    used: Sequence[Judgement],
    filters: SnapshotFilters,
    *,
    weight: float,
) -> Iterator[NativeRow | LeftOut]:
    """The rows of the judgements of an item that no filter excludes."""
    decided = [judgement for judgement in used if "cannot" not in judgement.value]
    if len(decided) < len(used):
        yield LeftOut(snapshot_rows.CANNOT_JUDGE, len(used) - len(decided))
    if campaign.kind == "chat":  # conversations differ, so they are never aggregated
        for judgement in decided:
            yield from _chat_rows(judged.item, judgement, judged.turns[judgement.assignment_id], weight)
    elif filters.by_item:
        yield from snapshot_rows.rows_of_item(campaign, judged.item, decided)
    else:
        for judgement in decided:
            yield from snapshot_rows.rows_of_judgement(campaign, judged.item, judgement, weight=weight)


def _chat_rows(
    item: Item, judgement: Judgement, turns: Sequence[ChatTurn], weight: float
) -> Iterator[NativeRow | LeftOut]:
    comparisons = chats.comparison_turns(item, turns)
    if comparisons:
        yield from snapshot_rows.rows_of_chat(item, judgement, comparisons, weight=weight)
    else:
        yield LeftOut("a conversation without a choice", 1)


def why_excluded(judgement: Judgement, filters: SnapshotFilters) -> str | None:
    """The reason to leave out a judgement whatever its value, or None."""
    if filters.guidelines and judgement.guidelines_version not in filters.guidelines:
        return OTHER_GUIDELINES
    if judgement.rater in filters.without_raters or (
        filters.raters and judgement.rater not in filters.raters
    ):
        return OTHER_RATER
    if (filters.since and judgement.made_at < filters.since) or (
        filters.until and judgement.made_at >= filters.until
    ):
        return OTHER_TIME
    if judgement.late and not filters.late:
        return LATE
    return QUICK if judgement.quick and not filters.quick else None


def _why_row_excluded(row: Mapping[str, Any], filters: SnapshotFilters) -> str | None:
    """The reason to leave out a row, or None.  Rows without a margin, such as edits, always stay."""
    if row.get("tie"):
        return None if filters.ties else "a tie"
    return "the margin is too small" if row.get("margin", 3) < filters.min_margin else None


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True
