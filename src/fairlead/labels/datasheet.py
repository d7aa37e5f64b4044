"""The datasheet of a snapshot: its rows, raters, agreement, cost and known limits.

The datasheet depends only on the judgements that the snapshot uses, not on the time at which it is made.
Raters appear under their pseudonyms.  One list of blocks is rendered as Markdown and as HTML.  All texts are
escaped, because they are untrusted.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import median
from typing import Any, Literal

from sqlalchemy import Connection

from fairlead.core.plural import agreeing, counted
from fairlead.labels import agreement, campaigns, position_bias
from fairlead.labels.campaigns import Campaign
from fairlead.labels.items import Item
from fairlead.labels.judgements import Judgement
from fairlead.stats.interval import Interval

FEW_RATERS = 5
DOMINANT_FRAC = 0.4  # share of judgements above which a single rater is listed as a limit
QUICK_FRAC = 0.1
# Share of preferences for the answer shown first.  A limit is listed when the interval excludes it.
NO_POSITION_BIAS = 0.5

QUESTIONS: Mapping[str, str] = {
    "pairwise": "which of two answers is better, on an eight-step scale with two kinds of tie",
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
    """A title, heading, paragraph, list, table (first row: header), or verbatim text."""

    kind: Literal["title", "heading", "text", "list", "table", "verbatim"]
    lines: tuple[tuple[str, ...], ...]


@dataclass
class DatasheetInput:
    """What the datasheet needs, collected while the items are processed one by one."""

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
        self.sources[item.source or "unknown"] += 1
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
    judgements = data.judgements
    return [
        _block("title", f"Datasheet: {campaign.name}"),
        _block("text", f"Raters were asked for {QUESTIONS[campaign.kind]}. {campaign.audience}".strip()),
        *_rows_section(counts, filters),
        *_raters_section(judgements),
        *_agreement_section(campaign, judgements),
        *_time_section(campaign, judgements),
        *_items_section(campaign, data),
        *_guidelines_section(connection, campaign, judgements),
        _block("heading", "Known limits"),
        Block("list", tuple((limit,) for limit in _limits(campaign, data, counts))),
    ]


# ---------------------------------------------------------------- sections


def _rows_section(counts: Mapping[str, Any], filters: Mapping[str, Any]) -> list[Block]:
    files = [("File", "Rows"), *((f"{name}.jsonl", f"{rows:,}") for name, rows in counts["files"].items())]
    left = [
        ("Reason for leaving out", "Judgements"),
        *((why, f"{count:,}") for why, count in counts["left_out"].items()),
    ]
    used = (
        f"The snapshot uses {counts['used']:,} of the campaign's {counts['judgements']:,} current judgements"
    )
    return [
        _block("heading", "Rows"),
        _block(
            "text",
            f"{used}. {counted(counts['items'], 'item')} "
            f"{agreeing(counts['items'], 'has')} at least one row.",
        ),
        _table(files),
        Block("list", tuple((line,) for line in _filter_lines(filters))),
        *([_table(left)] if len(left) > 1 else []),
    ]


def _filter_lines(filters: Mapping[str, Any]) -> list[str]:
    lines = [
        "One row per item, which aggregates all its judgements."
        if filters["by_item"]
        else "One row per judgement."
    ]
    lines.append("Ties are included." if filters["ties"] else "Ties are left out.")
    if filters["equal_items"]:
        lines.append("The weights of an item's comparisons sum to 1.")
    if filters["min_margin"]:
        lines.append(f"Preferences with a margin below {filters['min_margin']} are left out.")
    for name, prefix in (
        ("guidelines", "Only judgements made under these versions of the guidelines: "),
        ("raters", "Only judgements of these raters: "),
        ("without_raters", "Judgements of these raters are left out: "),
    ):
        if filters[name]:
            lines.append(prefix + ", ".join(map(str, filters[name])) + ".")
    if filters["since"]:
        lines.append(f"Only judgements made at or after {filters['since']}.")
    if filters["until"]:
        lines.append(f"Only judgements made before {filters['until']}.")
    if not filters["late"]:
        lines.append("Judgements submitted after the lease had ended are left out.")
    if not filters["quick"]:
        lines.append("Judgements made faster than the answers can be read are left out.")
    return lines


def _raters_section(judgements: Sequence[Judgement]) -> list[Block]:
    by_rater: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_rater.setdefault(judgement.rater, []).append(judgement)
    rows = [("Rater", "Judgements", "Share", "Median seconds", "Too fast to read")]
    for rater, theirs in sorted(by_rater.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        median_s = median(judgement.active_ms for judgement in theirs) / 1000
        rows.append(
            (
                rater,
                f"{len(theirs):,}",
                percent_text(len(theirs) / len(judgements)),
                f"{median_s:.1f}",
                str(sum(judgement.quick for judgement in theirs)),
            )
        )
    return [
        _block("heading", "Raters"),
        _block(
            "text",
            f"{counted(len(by_rater), 'rater')}. The names are pseudonyms. "
            "The data does not contain the persons behind them, and the link to a person can be erased.",
        ),
        _table(rows),
    ]


def _agreement_section(campaign: Campaign, judgements: Sequence[Judgement]) -> list[Block]:
    measured = agreement.measure_judgements(campaign.kind, judgements)
    if measured is None:
        reason = (
            "Texts are not compared."
            if campaign.kind not in agreement.COMPARED
            else "No item was judged by two raters."
        )
        return [_block("heading", "Agreement"), _block("text", f"{reason} The agreement is not known.")]
    alpha = (
        f"Krippendorff's alpha is {_interval(measured.agreement.alpha, percent=False)}."
        if measured.agreement.alpha
        else "All values are equal, so alpha is undefined."
    )
    text = (
        "Of pairs of raters who judged the same item, "
        f"{_interval(measured.agreement.raw)} agree on "
        f"{measured.compared}. {counted(measured.num_items, 'item')} "
        f"{agreeing(measured.num_items, 'was')} compared. {alpha}"
    )
    return [_block("heading", "Agreement"), _block("text", text)]


def _time_section(campaign: Campaign, judgements: Sequence[Judgement]) -> list[Block]:
    hours = sum(judgement.active_ms for judgement in judgements) / 3_600_000
    first_at = min(judgement.made_at for judgement in judgements)
    last_at = max(judgement.made_at for judgement in judgements)
    lines = [
        f"{hours:.2f} hours of active time. "
        "Time counts while the item is visible and the last input is at most 30 seconds ago.",
        f"The first judgement was made at {first_at}, the last at {last_at}.",
    ]
    if campaign.pay_per_hour is None:
        lines.append("The pay of the raters is not recorded.")
    else:
        rate = f"{campaign.pay_per_hour:.2f} {campaign.currency}"
        total = f"{hours * campaign.pay_per_hour:.2f} {campaign.currency}"
        per_judgement = f"{hours * campaign.pay_per_hour / len(judgements):.3f} {campaign.currency}"
        lines.append(f"At {rate} per hour of active time, the cost is {total}, or {per_judgement} each.")
    return [_block("heading", "Time and pay"), Block("list", tuple((line,) for line in lines))]


def _items_section(campaign: Campaign, data: DatasheetInput) -> list[Block]:
    rows = [
        ("Selection strategy", "Items"),
        *((name, f"{count:,}") for name, count in sorted(data.strategies.items())),
    ]
    sources = [
        ("Source", "Items"),
        *((name, f"{count:,}") for name, count in data.sources.most_common(20)),
    ]
    blocks = [_block("heading", "Items"), _table(rows), _table(sources)]
    if data.probabilities:
        low, high = min(data.probabilities), max(data.probabilities)
        blocks.append(
            _block(
                "text",
                f"Items were selected with probabilities from {low:.3g} to {high:.3g}. Each row has its own.",
            )
        )
    if (first := position_bias.share_of_judgements(campaign, data.judgements)) is not None:
        text = (
            f"The answer shown first was preferred in {_interval(first)} "
            f"of {counted(first.n, 'decided comparison')}. "
            "Positions were balanced in blocks."
        )
        blocks.append(_block("text", text))
    return blocks


def _guidelines_section(
    connection: Connection, campaign: Campaign, judgements: Sequence[Judgement]
) -> list[Block]:
    counts = Counter(judgement.guidelines_version for judgement in judgements)
    blocks = [_block("heading", "Guidelines")]
    for version in sorted(counts):
        guidelines = campaigns.get_guidelines(connection, campaign.id, version) if version else None
        title = f"Version {version}" if version else "No guidelines"
        blocks.append(_block("text", f"{title}: {counted(counts[version], 'judgement')}."))
        blocks += [_block("verbatim", guidelines.text)] if guidelines else []
    return blocks


def _limits(campaign: Campaign, data: DatasheetInput, counts: Mapping[str, Any]) -> list[str]:
    judgements = data.judgements
    by_rater = Counter(judgement.rater for judgement in judgements)
    limits = [
        "The rows show what these raters preferred under these guidelines. Others may prefer other answers."
    ]
    if len(by_rater) < FEW_RATERS:
        habits = "their shared habits" if len(by_rater) > 1 else "the habits of one person"
        limits.append(
            f"Only {counted(len(by_rater), 'rater')} made the judgements, so {habits} dominate the data."
        )
    name, most = by_rater.most_common(1)[0]
    if len(by_rater) > 1 and most / len(judgements) > DOMINANT_FRAC:
        limits.append(f"{name} made {percent_text(most / len(judgements))} of the judgements.")
    if max(Counter(judgement.item_id for judgement in judgements).values()) == 1:
        limits.append("Every item was judged once, so mistakes cannot be told from preferences.")
    quick = sum(judgement.quick for judgement in judgements)
    if quick / len(judgements) > QUICK_FRAC:
        limits.append(
            f"{percent_text(quick / len(judgements))} of the judgements "
            "were made too fast to read the answers."
        )
    first = position_bias.share_of_judgements(campaign, judgements)
    if first is not None and not first.low <= NO_POSITION_BIAS <= first.high:
        limits.append(
            f"The answer shown first was preferred in {_interval(first)} of comparisons: "
            "its position influenced the raters."
        )
    if counts["left_out"].get("a tie"):
        limits.append("Ties are left out, so the answers look further apart than raters judged them.")
    if not data.probabilities and any(name != "all" for name in data.strategies):
        limits.append(
            "A strategy without probabilities selected the items, so shares of items cannot be corrected."
        )
    if len({judgement.guidelines_version for judgement in judgements}) > 1:
        limits.append("The guidelines changed during the campaign. Each row names its version.")
    return limits


# ---------------------------------------------------------------- rendering


def to_markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
    """A self-contained page without scripts or external resources."""
    title = escape(blocks[0].lines[0][0])
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style>"
    )
    body = to_html_fragment(blocks)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def to_html_fragment(blocks: Sequence[Block]) -> str:
    """The blocks as HTML, to be embedded in a page."""
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
    """Escape text so that Markdown shows it literally."""
    escaped = re.sub(r"([\\`*_{}<>#|~!$&])", r"\\\1", " ".join(text.split()))
    # Some renderers read a bracket after a backslash as the start of a formula.
    return escaped.replace("[", "&#91;").replace("]", "&#93;")


def _block(kind: Literal["title", "heading", "text", "verbatim"], text: str) -> Block:
    return Block(kind, ((text,),))


def _table(rows: Sequence[tuple[str, ...]]) -> Block:
    return Block("table", tuple(rows))


def percent_text(share: float) -> str:
    """The studio's pages show shares with this, too: the same figure must look the same everywhere."""
    return f"{share:.1%}"


def _interval(interval: Interval, *, percent: bool = True) -> str:
    ends = [
        percent_text(end) if percent else f"{end:.2f}"
        for end in (interval.value, interval.low, interval.high)
    ]
    is_bounded = interval.low > -10 and interval.high < 10
    return f"{ends[0]} (95% interval: {ends[1]} to {ends[2]})" if is_bounded else ends[0]


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
body { color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: start; padding: 0.3rem 0.8rem; border-bottom: 1px solid #8886; }
pre { white-space: pre-wrap; border: 1px solid #8886; border-radius: 6px; padding: 1rem; }
h2 { margin-top: 2rem; }
""".strip()
