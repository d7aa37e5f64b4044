"""Figures, verdicts and task kinds in words, for the pages of the studio."""

import math
from collections.abc import Mapping
from typing import Any

from fairlead.labels.task_kinds import TaskKind
from fairlead.report.formatting import count, duration, fixed, number, percent, visible
from fairlead.stats.interval import Interval

__all__ = [
    "ago",
    "count",
    "duration",
    "estimate",
    "file_size",
    "finish",
    "fixed",
    "hour",
    "hours",
    "money",
    "number",
    "pace",
    "percent",
    "time_range",
    "verb",
    "verdict",
    "visible",
]

KIND_NAMES: dict[TaskKind, str] = {
    "pairwise": "Which answer is better",
    "ranking": "Put answers in order",
    "rating": "Rate an answer",
    "thumbs": "Good or bad",
    "aspects": "Rate an answer by aspect",
    "demonstration": "Write an answer",
    "edit": "Improve an answer",
    "conversation": "Judge a conversation",
    "chat": "Chat and compare",
}
# What a column of an uploaded file holds, see `labels.column_choice`.
COLUMN_ROLES = {
    "prompt": "Prompt, question or task",
    "context": "Text that belongs before the prompt",
    "system": "System message",
    "answer": "Answer",
    "chosen": "Better answer, judged before",
    "rejected": "Worse answer, judged before",
    "reference": "Correct answer, not shown",
    "score": "Score, given before",
    "label": "Good or bad, given before",
    "messages": "Whole conversation",
    "history": "Earlier turns",
    "model": "Model that wrote the answers",
    "id": "Your id of the row",
    "tags": "Tags",
    "": "Nothing of these: keep beside the item",
    "ignore": "Leave out",
}
KIND_DESCRIPTIONS: dict[TaskKind, str] = {
    "pairwise": "Two answers side by side. Raters choose on a scale of eight steps, two of which are ties.",
    "ranking": "Several answers. Raters put them in order; equal ranks are allowed.",
    "rating": "One answer. Raters give it a score.",
    "thumbs": "One answer. Raters call it good or bad.",
    "aspects": "One answer. Raters give a score for each aspect that you name.",
    "demonstration": "A prompt. Raters write the answer.",
    "edit": "An answer. Raters improve it.",
    "conversation": "A conversation. Raters can judge every turn.",
    "chat": "Raters write messages, two hidden models answer, and raters choose the better answer.",
}
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "INR", "KES", "PHP")
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}
STRENGTHS = {1: "slightly better", 2: "better", 3: "much better"}
CANNOT = {"judge": "cannot be judged", "unsafe": "unsafe"}
DASH = "–"
# (unit, hours in the unit, used for times below so many hours)
TIME_UNITS = (("minute", 1 / 60, 1.5), ("hour", 1, 36), ("day", 24, 24 * 21), ("week", 24 * 7, 24 * 7 * 200))
SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")


def money(amount: float | None, currency: str) -> str:
    if amount is None:
        return DASH
    digits = f"{amount:,.2f}" if amount < 1000 else f"{amount:,.0f}"
    return f"{SYMBOLS[currency]}{digits}" if currency in SYMBOLS else f"{digits} {currency}"


def hours(value: float) -> str:
    """A number of hours in a unit that suits planning: 25 minutes, 6 hours, 4 days, 7 weeks."""
    if not math.isfinite(value):
        return "no end in sight"
    for unit, size, limit in TIME_UNITS:
        if value < limit:
            return count(max(1, round(value / size)), unit)
    return "years"


def time_range(low: str, high: str, *, bounded: bool = True) -> str:
    """2 to 5 days; 20 hours to 3 days; 2 days or more."""
    if not bounded:
        return f"{low} or more"
    if low == high:
        return low
    low_number, _, low_unit = low.rpartition(" ")
    high_number, _, high_unit = high.rpartition(" ")
    if low_unit.removesuffix("s") == high_unit.removesuffix("s"):
        return f"{low_number} to {high_number} {high_unit}"
    return f"{low} to {high}"


def finish(interval: Interval) -> str:
    """The interval of the time until a campaign is finished, given in hours."""
    return time_range(hours(interval.low), hours(interval.high), bounded=math.isfinite(interval.high))


def estimate(interval: Interval) -> str:
    """[0.61, 0.72], or a note when the interval is unbounded."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "no interval from one item"
    return f"[{fixed(interval.low)}, {fixed(interval.high)}]"


def pace(judgements: int, active_ms: int) -> str:
    """Judgements per hour of active time."""
    return f"{judgements / (active_ms / 3_600_000):,.0f}" if judgements and active_ms else DASH


def ago(time: str | None, now: str) -> str:
    """A stored time: the time of day when it is today, otherwise the date."""
    if time is None:
        return DASH
    return f"{time[11:16]} UTC" if time[:10] == now[:10] else time[:10]


def hour(start: str) -> str:
    """09:00 for 2026-01-31T09"""
    return f"{start[11:13]}:00"


def verdict(value: Mapping[str, Any]) -> str:
    """A stored judgement in words.

    Answers are numbered as in the item, not by the letters shown to the rater.
    """
    if not value:
        return "no score"
    if "cannot" in value:
        return CANNOT.get(str(value["cannot"]), "cannot be judged")
    if "preference" in value:
        preference = value["preference"]
        if preference == 0:
            return f"tie, both {value.get('tie') or 'equal'}"
        return f"answer {1 if preference > 0 else 2} {STRENGTHS.get(abs(preference), 'better')}"
    if "ranks" in value:
        return _order(value["ranks"])
    if "label" in value:
        return "good" if value["label"] else "bad"
    if "score" in value:
        return f"score {value['score']}"
    if "aspects" in value:
        return ", ".join(f"{name} {score}" for name, score in value["aspects"].items())
    if "turns" in value:
        turns = sorted((int(turn), judgement) for turn, judgement in value["turns"].items())
        return "; ".join(f"turn {turn + 1}: {verdict(judgement)}" for turn, judgement in turns)
    return f"{value.get('text', '')} written"


def _order(ranks: list[int | None]) -> str:
    """2 > 1 = 3"""
    places = sorted({rank for rank in ranks if rank is not None})
    return " > ".join(
        " = ".join(str(index + 1) for index, rank in enumerate(ranks) if rank == place) for place in places
    )


def verb(name: str) -> str:
    """judgement.made -> judgement made"""
    return name.replace(".", " ").replace("_", " ")


def file_size(num_bytes: int) -> str:
    size = float(num_bytes)
    unit = SIZE_UNITS[0]
    for unit in SIZE_UNITS:
        if size < 1000 or unit == SIZE_UNITS[-1]:
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:,.1f} {unit}"
