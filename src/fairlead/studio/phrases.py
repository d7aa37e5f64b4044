"""Figures, verdicts and task kinds in words, for the pages of the studio."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from textwrap import shorten
from typing import Any

from fairlead.labels.datasheet import percent_text
from fairlead.labels.task_kinds import TaskKind
from fairlead.report.formatting import NARROW_SPACE, count, duration, fixed, number, percent, visible
from fairlead.stats.interval import Interval

__all__ = [
    "ago",
    "count",
    "day",
    "day_and_month",
    "duration",
    "estimate",
    "file_size",
    "finish",
    "fixed",
    "hour",
    "hours",
    "minute",
    "money",
    "number",
    "own_answer",
    "pace",
    "percent",
    "share",
    "share_range",
    "time_of_day",
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
    "aspects": "Rate several sides of an answer",
    "demonstration": "Write an answer",
    "edit": "Improve an answer",
    "conversation": "Judge a conversation",
    "chat": "Chat and compare",
}
ITEM_STATES = {
    "any": "All items",
    "open": "Not finished",
    "judged": "Judged by somebody",
    "done": "Finished",
    "flagged": "Flagged",
    "skipped": "Skipped by somebody",
    "disputed": "People disagree",
    "reveals": "Answer names its model",
    "archived": "Archived",
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
    "pairwise": "Two answers side by side. People choose the better one and how much better it is, or a tie.",
    "ranking": "Several answers. People put them in order. Two answers can share a place.",
    "rating": "One answer. People give it a score.",
    "thumbs": "One answer. People call it good or bad.",
    "aspects": "One answer. People give a score for each aspect that you name, such as helpful or honest.",
    "demonstration": "A question. People write the answer.",
    "edit": "One answer. People improve it.",
    "conversation": "A conversation. People judge each reply in it.",
    "chat": "People chat with two models whose names are hidden, and choose the better reply each time.",
}
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "INR", "KES", "PHP")
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}
STRENGTHS = {1: "slightly better", 2: "better", 3: "much better"}
CHOICES = {
    1: "A much better",
    2: "A better",
    3: "A slightly better",
    4: "tie, both good",
    5: "tie, both bad",
    6: "B slightly better",
    7: "B better",
    8: "B much better",
}
CANNOT = {"judge": "cannot be judged", "unsafe": "unsafe"}
DASH = "–"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
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
        return "cannot be estimated"
    for unit, size, limit in TIME_UNITS:
        if value < limit:
            return count(max(1, round(value / size)), unit)
    return "years"


def time_range(low: str, high: str, *, bounded: bool = True) -> str:
    """2 to 5 days; 20 hours to 3 days; at least 2 days."""
    if not bounded:
        return f"at least {low}"
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
    """0.61 to 0.72, or a note when the interval is unbounded."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "one item is too few for an interval"
    return f"{fixed(interval.low)} to {fixed(interval.high)}"


def share(value: float) -> str:
    """63.4 %, with the digits of the datasheet: people compare the two."""
    return percent_text(value).replace("%", NARROW_SPACE + "%")


def share_range(interval: Interval) -> str:
    """61.2 % to 65.5 %, or a note when the interval is unbounded."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "one item is too few for an interval"
    return f"{share(interval.low)} to {share(interval.high)}"


def day_and_month(day: date) -> str:
    """31 Jan"""
    return f"{day.day} {MONTHS[day.month - 1]}"


def pace(judgements: int, active_ms: int) -> str:
    """Judgements per hour of active time."""
    return f"{judgements / (active_ms / 3_600_000):,.0f}" if judgements and active_ms else DASH


def day(time: str, zone: tzinfo = UTC) -> str:
    """The date of a stored time: 2026-01-31."""
    return f"{_local(time, zone):%Y-%m-%d}"


def minute(time: str, zone: tzinfo = UTC) -> str:
    """A stored time to the minute, with its zone: 2026-01-31 09:30 UTC."""
    return f"{_local(time, zone):%Y-%m-%d %H:%M %Z}"


def time_of_day(time: str, zone: tzinfo = UTC) -> str:
    """09:30 UTC"""
    return f"{_local(time, zone):%H:%M %Z}"


def ago(time: str | None, now: str, zone: tzinfo = UTC) -> str:
    """A stored time: the time of day when it is today, otherwise the date."""
    if time is None:
        return DASH
    return time_of_day(time, zone) if day(time, zone) == day(now, zone) else day(time, zone)


def hour(start: str, zone: tzinfo = UTC) -> str:
    """09:00 for 2026-01-31T09"""
    return f"{_local(start, zone):%H:%M}"


def _local(time: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(time)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone)


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


def own_answer(value: Mapping[str, Any]) -> str:
    """A judgement in words as its rater gave it, with the letters that the rater saw."""
    if "cannot" in value:
        words = CANNOT.get(str(value["cannot"]), "cannot be judged")
    elif "choice" in value:
        words = CHOICES[value["choice"]]
    elif "ranks" in value:
        words = _order_of_letters(value["ranks"])
    elif "text" in value:
        edited = f"{value['letter']} edited: " if "letter" in value else ""
        words = edited + shorten(str(value["text"]), 200, placeholder=" …")
    elif "score" in value or "label" in value or value.get("aspects") or value.get("turns"):
        words = verdict(value)
    else:
        words = "conversation judged"
    return words[:1].upper() + words[1:]


def _order_of_letters(ranks: Mapping[str, int]) -> str:
    """A, then B = C"""
    places = sorted(set(ranks.values()))
    return ", then ".join(
        " = ".join(sorted(letter for letter, rank in ranks.items() if rank == place)) for place in places
    )


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
