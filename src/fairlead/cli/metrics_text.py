"""Metrics of an artifact as lines for people: estimates with their interval and n, then plain numbers."""

from collections.abc import Mapping
from typing import Any

PARTS = {"value", "low", "high", "n"}


def metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    estimates = {
        name: one for name, one in metrics.items() if isinstance(one, Mapping) and one.keys() >= PARTS
    }
    numbers = [
        f"{name} {format_number(one)}" for name, one in metrics.items() if isinstance(one, int | float)
    ]
    lines = [f"{name} {format_estimate(one)}" for name, one in estimates.items()]
    return [*lines, ", ".join(numbers)] if numbers else lines


def format_estimate(value: Mapping[str, Any]) -> str:
    """0.714 [0.66, 0.76], n = 300"""
    ends = ", ".join(
        "unbounded" if end is None else format_number(end) for end in (value["low"], value["high"])
    )
    return f"{format_number(value['value'])} [{ends}], n = {value['n']}"


def format_number(value: float) -> str:
    """Three significant digits; whole numbers as they are."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
