"""Formats the metrics of an artifact for the terminal: estimates with interval and n, then plain numbers."""

from collections.abc import Mapping
from typing import Any

from fairlead.core.plural import left_out_text

ESTIMATE_KEYS = {"value", "low", "high", "n"}


def metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    """One line per estimate, then one line with all plain numbers."""
    lines = [
        f"{name} {format_estimate(value)}"
        for name, value in metrics.items()
        if isinstance(value, Mapping) and value.keys() >= ESTIMATE_KEYS
    ]
    if metrics.get("left_out"):
        lines.append(left_out_line(metrics["left_out"]))
    numbers = [
        f"{name} {format_number(value)}" for name, value in metrics.items() if isinstance(value, int | float)
    ]
    return [*lines, ", ".join(numbers)] if numbers else lines


def left_out_line(left_out: Mapping[str, int]) -> str:
    """Left out: 3 rows too long, 1 tie."""
    return f"Left out: {left_out_text(left_out)}."


def format_estimate(estimate: Mapping[str, Any]) -> str:
    """0.714 [0.66, 0.76], n = 300"""
    ends = ["unbounded" if end is None else format_number(end) for end in (estimate["low"], estimate["high"])]
    return f"{format_number(estimate['value'])} [{', '.join(ends)}], n = {estimate['n']}"


def format_number(value: float) -> str:
    """Three significant digits; integers in full."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
