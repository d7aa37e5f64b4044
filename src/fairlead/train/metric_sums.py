"""Metrics of a step, added up over its micro-batches."""

import torch
from torch import Tensor


class MetricSums:
    """Totals by name, kept on the device: reading a number back would stall the GPU between micro-batches."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._totals: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, **values: Tensor) -> None:
        """Add the sum of each tensor to the total of its name."""
        for name, value in values.items():
            zero = torch.zeros((), dtype=torch.float64, device=self._device)
            self._totals[name] = self._totals.get(name, zero) + value.detach().sum()

    def total(self, name: str) -> float:
        return float(self._totals[name]) if name in self._totals else 0.0

    def mean(self, name: str, count: int) -> float:
        return self.total(name) / count

    def means(self, count: int) -> dict[str, float]:
        """Every total divided by the number of items in the step."""
        return {name: float(total) / count for name, total in self._totals.items()}
