"""Metrics of an artifact as lines for people: estimates with their interval and n, then plain numbers."""

from collections.abc import Mapping
from typing import Any

PARTS = {"value", "low", "high", "n"}


def figures(metrics: Mapping[str, Any]) -> list[str]:
    estimates = {
        name: one for name, one in metrics.items() if isinstance(one, Mapping) and one.keys() >= PARTS
    }
    numbers = [f"{name} {number(one)}" for name, one in metrics.items() if isinstance(one, int | float)]
    lines = [f"{name} {estimate(one)}" for name, one in estimates.items()]
    return [*lines, ", ".join(numbers)] if numbers else lines


def estimate(value: Mapping[str, Any]) -> str:
    """0.714 [0.66, 0.76], n = 300"""
    ends = ", ".join("unbounded" if end is None else number(end) for end in (value["low"], value["high"]))
    return f"{number(value['value'])} [{ends}], n = {value['n']}"


def number(value: float) -> str:
    """Three significant digits; whole numbers as they are."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
