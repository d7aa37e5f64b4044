"""Which of the judgements that stand a snapshot takes, and which rows they become there; what is left out is counted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from fairlead.labels import chats, native_rows
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import ChatTurn
from fairlead.labels.database import parse_time
from fairlead.labels.errors import Invalid
from fairlead.labels.items import Item
from fairlead.labels.judgements import Judgement
from fairlead.labels.native_rows import LeftOut, NativeRow, RowFile

TEXT_FREE_KINDS = (
    "pairwise",
    "ranking",
    "rating",
    "thumbs",
    "aspects",
)  # people write nothing, unless they edit an answer: all items are alike


@dataclass(frozen=True, kw_only=True)
class SnapshotFilters:
    """Which judgements, and as what.  The defaults keep everything that stands, one row each."""

    ties: bool = True
    min_margin: int = 0  # 1..3 keeps clearer preferences only, and ties where these are kept
    by_item: bool = False  # one row for each item, not for each judgement
    equal_items: bool = False  # without by_item: the comparisons of an item weigh 1 together
    guidelines: tuple[int, ...] = ()  # versions; none named means all
    raters: tuple[str, ...] = ()  # pseudonyms; none named means all
    without_raters: tuple[str, ...] = ()
    since: str | None = None  # made at that time or later
    until: str | None = None  # made before
    late: bool = True  # also those that came after the hold was lost
    quick: bool = True  # also those made faster than anybody reads


@dataclass(frozen=True)
class SnapshotCounts:
    judgements: int  # that stand in the campaign
    used: int  # of these, after the filters that look at a judgement alone
    items: int  # that have a row
    raters: int  # whose judgements were used
    files: dict[RowFile, int]  # rows of each file
    left_out: dict[str, int]  # why -> how many


class JudgedItem(NamedTuple):
    item: Item
    judgements: list[Judgement]  # what stands, in the order of their ids
    turns: Mapping[str, Sequence[ChatTurn]]  # token -> the conversation, where the campaign is a live chat


class SelectedRows(NamedTuple):
    """Of an item: what the filters that look at a judgement alone leave of it."""

    num_judgements: int
    left_out: list[str]  # why, once for each judgement that is left out
    raters: set[str]  # of the others
    rows: list[NativeRow | LeftOut]


class RowTally:
    """What is counted while the items stream past."""

    def __init__(self) -> None:
        self.judgements = self.used = self.items = 0
        self.raters: set[str] = set()
        self.files: Counter[RowFile] = Counter()
        self.left_out: Counter[str] = Counter()

    def rows(self, chosen: SelectedRows, filters: SnapshotFilters) -> Iterator[NativeRow]:
        """Of one item."""
        self.judgements, self.used = (
            self.judgements + chosen.num_judgements,
            self.used + chosen.num_judgements - len(chosen.left_out),
        )
        self.left_out.update(chosen.left_out)
        self.raters |= chosen.raters
        has_row = False
        for out in chosen.rows:
            if isinstance(out, LeftOut):
                self.left_out[out.why] += out.num
            elif why := _why_row_excluded(out.row, filters):
                self.left_out[why] += 1
            else:
                self.files[out.file] += 1
                has_row = True
                yield out
        self.items += has_row

    def counts(self) -> SnapshotCounts:
        names = sorted(self.left_out)
        listed: dict[RowFile, int] = {file: self.files[file] for file in sorted(self.files)}
        return SnapshotCounts(
            self.judgements,
            self.used,
            self.items,
            len(self.raters),
            listed,
            {name: self.left_out[name] for name in names},
        )


def validate(campaign: Campaign, given: SnapshotFilters) -> SnapshotFilters:
    """The same, with lists in order; raises Invalid with everything that is wrong."""
    problems = {}
    if not 0 <= given.min_margin <= 3:
        problems["min_margin"] = "is 0 to 3"
    if given.min_margin and campaign.kind not in ("pairwise", "chat"):
        problems["min_margin"] = f"has no meaning for a {campaign.kind} campaign"
    for name in ("since", "until"):
        if (at := getattr(given, name)) is not None and not _is_time(at):
            problems[name] = "is a time such as 2026-01-31T00:00:00.000000Z"
    if given.by_item and given.equal_items:
        problems["equal_items"] = "goes with one row for each judgement"
    if problems:
        raise Invalid(problems)
    raters, without = tuple(sorted(set(given.raters))), tuple(sorted(set(given.without_raters)))
    return replace(
        given, guidelines=tuple(sorted(set(given.guidelines))), raters=raters, without_raters=without
    )


def to_json(filters: SnapshotFilters) -> dict[str, Any]:
    """As JSON, which has no tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(filters).items()
    }


def from_json(values: Mapping[str, Any]) -> SnapshotFilters:
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return SnapshotFilters(**given)


def is_text_free(campaign: Campaign, judgement: Judgement) -> bool:
    """Whether all items judged with the same value become the same rows but for their texts."""
    return campaign.kind in TEXT_FREE_KINDS and "edit" not in judgement.value


def select_rows(
    campaign: Campaign,
    judged: JudgedItem,
    filters: SnapshotFilters,
    known: dict[Any, list[NativeRow | LeftOut]],
) -> SelectedRows:
    """What passes the filters that look at a judgement alone, and the rows of it.  `known` keeps rows of what says the same."""
    item, made, said = judged
    wanted: list[Judgement] = []
    left: list[str] = []
    for each in made:
        why = why_excluded(each, filters)
        if why is None:
            wanted.append(each)
        else:
            left.append(why)
    weight = 1 / len(wanted) if filters.equal_items and wanted else 1.0
    key = (
        filters.by_item,
        tuple(repr(each.value) if is_text_free(campaign, each) else each.id for each in wanted),
    )
    if key not in known:
        if campaign.kind == "chat":  # every conversation is another one, so there is nothing to put together
            known[key] = [
                out for each in wanted for out in _chat_rows(item, each, said[each.assignment_id], weight)
            ]
        elif filters.by_item:
            known[key] = list(native_rows.rows_of_item(campaign, item, wanted))
        else:
            known[key] = [
                out
                for each in wanted
                for out in native_rows.rows_of_judgement(campaign, item, each, weight=weight)
            ]
    return SelectedRows(len(made), left, {each.rater for each in wanted}, known[key])


def _chat_rows(
    item: Item, judgement: Judgement, said: Sequence[ChatTurn], weight: float
) -> Iterator[NativeRow | LeftOut]:
    turns = chats.comparison_turns(item, said)
    yield from (
        native_rows.rows_of_chat(item, judgement, turns, weight=weight)
        if turns
        else [LeftOut("a conversation without a choice", 1)]
    )


def why_excluded(judgement: Judgement, filters: SnapshotFilters) -> str | None:
    """Why a judgement is left out, whatever it says."""
    if filters.guidelines and judgement.guidelines_version not in filters.guidelines:
        return "another version of the guidelines"
    if judgement.rater in filters.without_raters or (
        filters.raters and judgement.rater not in filters.raters
    ):
        return "another person"
    if (filters.since and judgement.made_at < filters.since) or (
        filters.until and judgement.made_at >= filters.until
    ):
        return "another time"
    if judgement.late and not filters.late:
        return "came late"
    return "faster than anybody reads" if judgement.quick and not filters.quick else None


def _why_row_excluded(row: Mapping[str, Any], filters: SnapshotFilters) -> str | None:
    """Why a comparison is left out; an edit has no margin, and stays."""
    if row.get("tie"):
        return None if filters.ties else "a tie"
    return "the margin is too small" if row.get("margin", 3) < filters.min_margin else None


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True
