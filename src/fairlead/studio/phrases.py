"""Figures and verdicts in words, for the pages of those who lead and watch."""

import math
from collections.abc import Mapping
from typing import Any

from fairlead.report.formatting import count, duration, fixed, number, percent, visible
from fairlead.stats.interval import Interval

__all__ = [
    "ago", "count", "duration", "estimate", "file_size", "finish", "fixed", "hour", "hours", "money", "number", "pace", "percent",
    "range_of", "verb", "verdict", "visible",
]  # fmt: skip

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}
STRENGTH = {1: "slightly better", 2: "better", 3: "much better"}
DASH = "–"


def money(amount: float | None, currency: str) -> str:
    if amount is None:
        return DASH
    shown = f"{amount:,.2f}" if amount < 1000 else f"{amount:,.0f}"
    return f"{SYMBOLS[currency]}{shown}" if currency in SYMBOLS else f"{shown} {currency}"


def hours(value: float) -> str:
    """A stretch of time in the unit in which people plan: 25 minutes, 6 hours, 4 days, 7 weeks."""
    if not math.isfinite(value):
        return "no end in sight"
    for unit, size, until in (
        ("minute", 1 / 60, 1.5),
        ("hour", 1, 36),
        ("day", 24, 24 * 21),
        ("week", 24 * 7, 24 * 7 * 200),
    ):
        if value < until:
            return count(max(1, round(value / size)), unit)
    return "years"


def range_of(low: str, high: str, *, bounded: bool = True) -> str:
    """2 to 5 days, where both ends have one unit; 20 hours to 3 days; or more than 2 days."""
    if not bounded:
        return f"{low} or more"
    if low == high:
        return low
    first, _, unit = low.rpartition(" ")
    last, _, other = high.rpartition(" ")
    return (
        f"{first} to {last} {other}"
        if unit.removesuffix("s") == other.removesuffix("s")
        else f"{low} to {high}"
    )


def finish(found: Interval) -> str:
    """The interval of a time to finish, in hours."""
    return range_of(hours(found.low), hours(found.high), bounded=math.isfinite(found.high))


def estimate(found: Interval) -> str:
    """[0.61, 0.72], or nothing where nothing is bounded."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return "no interval from one item"
    return f"[{fixed(found.low)}, {fixed(found.high)}]"


def pace(judgements: int, active_ms: int) -> str:
    """Judgements in an hour of active time."""
    return f"{judgements / (active_ms / 3_600_000):,.0f}" if judgements and active_ms else DASH


def ago(at: str | None, now: str) -> str:
    """Whole days of two stored times, or the time of the same day."""
    if at is None:
        return DASH
    return f"{at[11:16]} UTC" if at[:10] == now[:10] else at[:10]


def hour(start: str) -> str:
    """09:00 of 2026-01-31T09"""
    return f"{start[11:13]}:00"


def verdict(value: Mapping[str, Any]) -> str:
    """What was said, by the number of the answer in the item, which is not the letter that was shown."""
    if not value:
        return "no score"
    if "cannot" in value:
        return {"judge": "cannot be judged", "unsafe": "unsafe"}.get(str(value["cannot"]), "cannot be judged")
    if "preference" in value:
        preference = value["preference"]
        if preference == 0:
            return f"tie, both {value.get('tie') or 'equal'}"
        return f"answer {1 if preference > 0 else 2} {STRENGTH.get(abs(preference), 'better')}"
    if "ranks" in value:
        return _order(value["ranks"])
    if "label" in value:
        return "good" if value["label"] else "bad"
    if "score" in value:
        return f"score {value['score']}"
    if "aspects" in value:
        return ", ".join(f"{name} {score}" for name, score in value["aspects"].items())
    if "turns" in value:
        turns = sorted((int(turn), each) for turn, each in value["turns"].items())
        return "; ".join(f"turn {turn + 1}: {verdict(each)}" for turn, each in turns)
    return str(value.get("text", "")) + " written"


def _order(ranks: list[int | None]) -> str:
    """2 > 1 = 3"""
    places = sorted({rank for rank in ranks if rank is not None})
    return " > ".join(
        " = ".join(str(k + 1) for k, rank in enumerate(ranks) if rank == place) for place in places
    )


def verb(name: str) -> str:
    """judgement.made -> judgement made"""
    return name.replace(".", " ").replace("_", " ")


def file_size(size: int) -> str:
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:,.1f} {unit}"
