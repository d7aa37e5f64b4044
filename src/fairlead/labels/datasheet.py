"""The datasheet of a snapshot: what the rows are, who made them, how far people agree, what it cost, and what the rows cannot show.

It is made from the judgements that the snapshot uses and says nothing of when it was made, so it is the same for the same data.  People are
pseudonyms.  One list of blocks is written as Markdown and as HTML; every text in it is untrusted and escaped.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import median
from typing import Any, Literal

from sqlalchemy import Connection

from fairlead.labels import agreement, campaigns
from fairlead.labels.campaigns import Campaign
from fairlead.labels.items import Item
from fairlead.labels.judgements import Judgement
from fairlead.stats.interval import Interval, proportion

FEW_RATERS = 5
DOMINANT_FRAC = 0.4  # share of the judgements from which one person's taste is much of the data
QUICK_FRAC = 0.1
NO_POSITION_BIAS = (
    0.5  # share of preferences for what was shown first, from which the interval should not be away
)

QUESTIONS: Mapping[str, str] = {
    "pairwise": "which of two answers is better, in eight steps that include two kinds of tie",
    "ranking": "the order of several answers",
    "rating": "a score for one answer",
    "thumbs": "whether an answer is good or bad",
    "aspects": "a score for each aspect of an answer",
    "demonstration": "an answer, written by hand",
    "edit": "a better version of an answer",
    "conversation": "a verdict on turns of a conversation",
    "chat": "which of two live answers is better, turn by turn",
}


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, a list, a table (its first row is the head), or text as it was written."""

    kind: Literal["title", "heading", "text", "list", "table", "verbatim"]
    lines: tuple[tuple[str, ...], ...]


@dataclass
class DatasheetInput:
    """What is learned while the items stream past."""

    judgements: list[Judgement] = field(default_factory=list)
    strategies: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    probabilities: set[float] = field(default_factory=set)
    num_items: int = 0

    def add(self, item: Item, used: Sequence[Judgement]) -> None:
        if not used:
            return
        self.judgements += used
        self.num_items += 1
        self.strategies[item.strategy] += 1
        self.sources[item.source or "not said"] += 1
        if item.selection_probability is not None:
            self.probabilities.add(item.selection_probability)


def build(
    connection: Connection,
    campaign: Campaign,
    data: DatasheetInput,
    *,
    filters: Mapping[str, Any],
    counts: Mapping[str, Any],
) -> list[Block]:
    made = data.judgements
    return [
        _block("title", f"Datasheet: {campaign.name}"),
        _block("text", f"People were asked for {QUESTIONS[campaign.kind]}. {campaign.audience}".strip()),
        *_rows_section(counts, filters),
        *_raters_section(made),
        *_agreement_section(campaign, made),
        *_time_section(campaign, made),
        *_items_section(campaign, data),
        *_guidelines_section(connection, campaign, made),
        _block("heading", "Known limits"),
        Block("list", tuple((limit,) for limit in _limits(campaign, data, counts))),
    ]


# ---------------------------------------------------------------- sections


def _rows_section(counts: Mapping[str, Any], filters: Mapping[str, Any]) -> list[Block]:
    files = [("File", "Rows"), *((f"{name}.jsonl", f"{rows:,}") for name, rows in counts["files"].items())]
    left = [
        ("Left out because", "How many"),
        *((why, f"{count:,}") for why, count in counts["left_out"].items()),
    ]
    of = f"{counts['used']:,} of the campaign's {counts['judgements']:,} judgements that stand were used"
    return [
        _block("heading", "Rows"),
        _block("text", f"{of}; {counts['items']:,} items have a row."),
        _table(files),
        Block("list", tuple((line,) for line in _filter_lines(filters))),
        *([_table(left)] if len(left) > 1 else []),
    ]


def _filter_lines(filters: Mapping[str, Any]) -> list[str]:
    said = [
        "One row for each item, on which all its judgements were put together."
        if filters["by_item"]
        else "One row for each judgement."
    ]
    said.append("Ties are kept." if filters["ties"] else "Ties are left out.")
    if filters["equal_items"]:
        said.append("The comparisons of an item weigh 1 together.")
    if filters["min_margin"]:
        said.append(f"Preferences of a margin under {filters['min_margin']} are left out.")
    for name, words in (
        ("guidelines", "Only judgements under these versions of the guidelines: "),
        ("raters", "Only judgements of these people: "),
        ("without_raters", "Judgements of these people are left out: "),
    ):
        if filters[name]:
            said.append(words + ", ".join(map(str, filters[name])) + ".")
    said += [f"Only judgements made at or after {filters['since']}."] if filters["since"] else []
    said += [f"Only judgements made before {filters['until']}."] if filters["until"] else []
    said += (
        [] if filters["late"] else ["Judgements that came after the hold on the item was lost are left out."]
    )
    said += [] if filters["quick"] else ["Judgements made faster than anybody reads are left out."]
    return said


def _raters_section(made: Sequence[Judgement]) -> list[Block]:
    by_rater: dict[str, list[Judgement]] = {}
    for each in made:
        by_rater.setdefault(each.rater, []).append(each)
    rows = [("Person", "Judgements", "Share", "Seconds, in the middle", "Faster than anybody reads")]
    for rater, theirs in sorted(by_rater.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        middle = median(each.active_ms for each in theirs) / 1000
        rows.append(
            (
                rater,
                f"{len(theirs):,}",
                _percent(len(theirs) / len(made)),
                f"{middle:.1f}",
                str(sum(each.quick for each in theirs)),
            )
        )
    return [
        _block("heading", "People"),
        _block(
            "text",
            f"{len(by_rater)} people. The names are pseudonyms; whose they are is not in the data and can be erased.",
        ),
        _table(rows),
    ]


def _agreement_section(campaign: Campaign, made: Sequence[Judgement]) -> list[Block]:
    found = agreement.measure_judgements(campaign.kind, made)
    if found is None:
        why = (
            "Texts are not compared."
            if campaign.kind not in agreement.COMPARED
            else "No item was judged by two people."
        )
        return [_block("heading", "Agreement"), _block("text", f"{why} How far people agree is not known.")]
    alpha = (
        f"Krippendorff's alpha is {_interval(found.agreement.alpha, percent=False)}."
        if found.agreement.alpha
        else "All said the same, so alpha has no meaning."
    )
    said = (
        f"Of pairs of people who judged the same item, {_interval(found.agreement.raw)} said the same of {found.compared}, "
        f"on {found.num_items:,} items. {alpha}"
    )
    return [_block("heading", "Agreement"), _block("text", said)]


def _time_section(campaign: Campaign, made: Sequence[Judgement]) -> list[Block]:
    hours = sum(each.active_ms for each in made) / 3_600_000
    first, last = min(each.made_at for each in made), max(each.made_at for each in made)
    lines = [
        f"{hours:.2f} hours of active time: in sight, with input within half a minute. Idle time does not count."
    ]
    lines.append(f"The first judgement was made at {first}, the last at {last}.")
    if campaign.pay_per_hour is None:
        lines.append("What people were paid was not entered.")
    else:
        each = hours * campaign.pay_per_hour / len(made)
        rate, total = (
            f"{campaign.pay_per_hour:.2f} {campaign.currency}",
            f"{hours * campaign.pay_per_hour:.2f} {campaign.currency}",
        )
        lines.append(
            f"At {rate} for an hour of active time this is {total}, {each:.3f} {campaign.currency} for a judgement."
        )
    return [_block("heading", "Time and pay"), Block("list", tuple((line,) for line in lines))]


def _items_section(campaign: Campaign, data: DatasheetInput) -> list[Block]:
    rows = [
        ("Chosen by", "Items"),
        *((name, f"{count:,}") for name, count in sorted(data.strategies.items())),
    ]
    sources = [
        ("Came from", "Items"),
        *((name, f"{count:,}") for name, count in data.sources.most_common(20)),
    ]
    blocks = [_block("heading", "Items"), _table(rows), _table(sources)]
    if data.probabilities:
        low, high = min(data.probabilities), max(data.probabilities)
        blocks.append(
            _block(
                "text",
                f"Items were chosen with probabilities from {low:.3g} to {high:.3g}; each row has its own.",
            )
        )
    if (first := _first_shown_share(campaign, data.judgements)) is not None:
        said = f"The answer that was shown first was preferred in {_interval(first)} of {first.n:,} decided pairs."
        blocks.append(_block("text", f"{said} Sides were balanced in blocks."))
    return blocks


def _guidelines_section(connection: Connection, campaign: Campaign, made: Sequence[Judgement]) -> list[Block]:
    counts = Counter(each.guidelines_version for each in made)
    blocks = [_block("heading", "Guidelines")]
    for version in sorted(counts):
        found = campaigns.get_guidelines(connection, campaign.id, version) if version else None
        title = f"Version {version}" if version else "Before any guidelines were written"
        blocks.append(_block("text", f"{title}: {counts[version]:,} judgements."))
        blocks += [_block("verbatim", found.text)] if found else []
    return blocks


def _limits(campaign: Campaign, data: DatasheetInput, counts: Mapping[str, Any]) -> list[str]:
    made = data.judgements
    by_rater = Counter(each.rater for each in made)
    limits = [
        "The rows say what these people preferred under these guidelines. They say nothing of what others would."
    ]
    if len(by_rater) < FEW_RATERS:
        limits.append(
            f"{len(by_rater)} people made all the judgements; what they have in common looks like a rule here."
        )
    name, most = by_rater.most_common(1)[0]
    if len(by_rater) > 1 and most / len(made) > DOMINANT_FRAC:
        limits.append(f"{name} made {_percent(most / len(made))} of the judgements.")
    if max(Counter(each.item_id for each in made).values()) == 1:
        limits.append("Every item was judged once, so a mistake cannot be told from a preference.")
    quick = sum(each.quick for each in made)
    if quick / len(made) > QUICK_FRAC:
        limits.append(f"{_percent(quick / len(made))} of the judgements were made faster than anybody reads.")
    first = _first_shown_share(campaign, made)
    if first is not None and not first.low <= NO_POSITION_BIAS <= first.high:
        limits.append(
            f"What was shown first was preferred in {_interval(first)} of pairs: the place of an answer weighed with people."
        )
    if counts["left_out"].get("a tie"):
        limits.append("Ties are not in the rows, so the answers look further apart than people found them.")
    if not data.probabilities and any(name != "all" for name in data.strategies):
        limits.append(
            "Items were chosen by a strategy without probabilities, so shares over items cannot be corrected."
        )
    if len({each.guidelines_version for each in made}) > 1:
        limits.append("The guidelines changed while people judged; each row names its version.")
    return limits


def _first_shown_share(campaign: Campaign, made: Sequence[Judgement]) -> Interval | None:
    """How often the answer shown first was preferred, ties left out."""
    if campaign.kind != "pairwise":
        return None
    decided = [each for each in made if each.value.get("preference")]
    first = sum((each.value["preference"] > 0) == (each.order[0] == 0) for each in decided)
    return proportion(first, len(decided)) if decided else None


# ---------------------------------------------------------------- writing


def to_markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
    """A page by itself, without scripts or anything from elsewhere."""
    title = escape(blocks[0].lines[0][0])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{to_html_fragment(blocks)}\n</body></html>\n'


def to_html_fragment(blocks: Sequence[Block]) -> str:
    """The blocks as HTML, to stand inside a page."""
    return "\n".join(_html(block) for block in blocks)


def _markdown(block: Block) -> str:
    if block.kind == "verbatim":
        text = block.lines[0][0]
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        return f"{fence}markdown\n{text}\n{fence}"
    escaped = [[_escape_markdown(cell) for cell in line] for line in block.lines]
    if block.kind == "table":
        head, *rest = [f"| {' | '.join(line)} |" for line in escaped]
        return "\n".join([head, "|" + " --- |" * len(block.lines[0]), *rest])
    if block.kind == "list":
        return "\n".join(f"- {line[0]}" for line in escaped)
    return {"title": "# ", "heading": "## ", "text": ""}[block.kind] + escaped[0][0]


def _html(block: Block) -> str:
    if block.kind == "table":
        head, *rest = block.lines
        cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in rest)
        return f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
    if block.kind == "list":
        return f"<ul>{''.join(f'<li>{escape(line[0])}</li>' for line in block.lines)}</ul>"
    tag = {"title": "h1", "heading": "h2", "text": "p", "verbatim": "pre"}[block.kind]
    return f"<{tag}>{escape(block.lines[0][0])}</{tag}>"


def _escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    escaped = re.sub(r"([\\`*_{}<>#|~!$&])", r"\\\1", " ".join(text.split()))
    return escaped.replace("[", "&#91;").replace(
        "]", "&#93;"
    )  # with a backslash they would begin a formula for some


def _block(kind: Literal["title", "heading", "text", "verbatim"], text: str) -> Block:
    return Block(kind, ((text,),))


def _table(rows: Sequence[tuple[str, ...]]) -> Block:
    return Block("table", tuple(rows))


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _interval(interval: Interval, *, percent: bool = True) -> str:
    ends = [
        _percent(end) if percent else f"{end:.2f}" for end in (interval.value, interval.low, interval.high)
    ]
    return (
        f"{ends[0]} (95% interval: {ends[1]} to {ends[2]})"
        if interval.low > -10 and interval.high < 10
        else ends[0]
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { text-align: start; padding: 0.3rem 0.8rem; border-bottom: 1px solid #8886; }
pre { white-space: pre-wrap; border: 1px solid #8886; border-radius: 6px; padding: 1rem; } h2 { margin-top: 2rem; }
""".strip()
