"""From values to places on a chart, and the round numbers on its axes."""

import math
from typing import NamedTuple

from fairlead.report import formatting

LARGEST = 1e300  # a diverged value is drawn at this height, so that the axis itself stays finite
SMALLEST = 1e-290  # below, floats lose their digits and a logarithm fails


def ticks(low: float, high: float, *, about: int = 4, outside: bool = False) -> list[float]:
    """Round numbers 1, 2 or 5 times a power of ten apart: inside [low, high], or around it when `outside`."""
    low, high = max(-LARGEST, low), min(LARGEST, high)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, SMALLEST):  # constant, or as good as: give it room
        room = abs(low) * 0.1 if size > SMALLEST else 1.0
        low, high = low - room, high + room
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    # A hair of tolerance: 0.3 / 0.1 is just below 3.
    first = math.floor(low / step + 1e-9) if outside else math.ceil(low / step - 1e-9)
    last = math.ceil(high / step - 1e-9) if outside else math.floor(high / step + 1e-9)
    return [round(index * step, 12 - math.floor(math.log10(step))) + 0.0 for index in range(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """At most five characters or so: 0.25, 40, 12k, 2e−5."""
    size = max(abs(value), step)
    if value == 0:
        shown = "0"
    elif size >= 1e9 or size < 1e-3:
        digits, exponent = f"{value:.1e}".split("e")
        shown = f"{digits.removesuffix('.0')}e{int(exponent)}"
    elif size >= 1e4:
        scale, letter = (1e6, "M") if size >= 1e6 else (1e3, "k")
        shown = f"{value / scale:.{decimals(step / scale)}f}{letter}"
    else:
        shown = f"{value:.{decimals(step)}f}"
    return shown.replace("-", formatting.MINUS)


class Scale(NamedTuple):
    """A straight line from values to places; a single value lies in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        # Halved before subtracting: the span of two huge values is no float; that of two tiny ones is zero.
        span = self.high / 2 - self.low / 2
        if span == 0:
            return (self.start + self.end) / 2
        share = (value / 2 - self.low / 2) / span
        return self.start + share * (self.end - self.start)


def decimals(step: float) -> int:
    """How many decimals tell two ticks apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9))
