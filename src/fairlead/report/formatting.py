"""Numbers, shares, times and untrusted text as people read them.

Plain text out: escaping is the template's job.
"""

import math
import re
from typing import TYPE_CHECKING

from fairlead.core.plural import agreeing

if TYPE_CHECKING:  # loads scipy, which every command would pay for
    from fairlead.stats.interval import Interval

NARROW_SPACE = "\u202f"  # between a number and its unit; does not break
MINUS = "\u2212"

# What could hide or reorder text on the page: control characters, lone surrogates, direction overrides.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufeff]"
)


def visible(text: str) -> str:
    """Untrusted text with every character that is not drawn, or that reorders others, replaced by U+FFFD."""
    return _UNSEEN.sub("\ufffd", text)


def number(value: float) -> str:
    """About three significant digits: 0.831, 12.4, 1,204, 3.2e-5."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else MINUS + "∞")
    size = abs(value)
    if value == 0:
        shown = "0"
    elif float(value).is_integer() and size < 1e7:
        shown = f"{value:,.0f}"
    elif size < 1e-3 or size >= 1e7:
        digits, exponent = f"{value:.1e}".split("e")
        shown = f"{digits.removesuffix('.0')}e{int(exponent)}"
    else:
        shown = (
            f"{value:,.{max(0, 2 - math.floor(math.log10(size)))}f}"
            if size >= 1
            else f"{value:.3f}"
            if size >= 0.1
            else f"{value:.3g}"
        )
    return shown.replace("-", MINUS)


def fixed(value: float, digits: int = 2) -> str:
    """A fixed number of decimals, for columns that are compared; never "−0.00"."""
    shown = f"{value:,.{digits}f}"
    return shown.replace("-", MINUS) if float(shown.replace(",", "")) else shown.removeprefix("-")


def percent(share: float) -> str:
    """84 %, and one decimal close to the ends, where a whole per cent would say none or all."""
    shown = f"{share:.0%}"
    if (share > 0 and shown == "0%") or (share < 1 and shown == "100%"):
        shown = f"{share:.1%}"
    return shown.replace("-", MINUS).replace("%", NARROW_SPACE + "%")


def percent_interval(interval: "Interval") -> str:
    """84 % [79, 88]"""
    return f"{percent(interval.value)} {percent_range(interval)}"


def percent_range(interval: "Interval") -> str:
    """[79, 88], in per cent."""
    low, high = (
        f"{end * 100:.0f}" if math.isfinite(end) else number(end) for end in (interval.low, interval.high)
    )
    return f"[{low}, {high}]".replace("-", MINUS)


def fixed_range(interval: "Interval") -> str:
    """[0.74, 0.82]"""
    ends = (fixed(end) if math.isfinite(end) else number(end) for end in (interval.low, interval.high))
    return f"[{', '.join(ends)}]"


def duration(seconds: float) -> str:
    """8.4 s, 42 s, 3 min 20 s, 2 h 5 min"""
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW_SPACE}s"
    if whole < 3600:
        parts = [(whole // 60, "min"), (whole % 60, "s")]
    else:
        parts = [(round(whole / 60) // 60, "h"), (round(whole / 60) % 60, "min")]
    return " ".join(f"{count}{NARROW_SPACE}{unit}" for count, unit in parts if count)


def count(n: int, thing: str) -> str:
    """1 prompt, 300 prompts"""
    return f"{n:,}{NARROW_SPACE if n >= 1000 else ' '}{agreeing(n, thing)}"
