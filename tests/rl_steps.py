"""Run the first step of PPO or GRPO, and record what its update was computed from.

The old and the reference log-probabilities and the old values get noise, so that ratios leave 1, KL is not 0,
and both clips take part.  The gradients are read from the checkpoint: after n updates with a learning rate
near 0, AdamW's exp_avg is 0.1 * (g_n + 0.9 * g_(n-1) + ...).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fairlead.encoding.batching import Batch, map_micro_batches
from fairlead.rollout import rl_metrics
from fairlead.rollout.prompt_sampler import Responses
from fakes import Trained, project_with_base, train

SETTINGS = {
    "name": "aligned",
    "model": "base",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "rank": 0,
    "steps": 1,
    "epochs": 1,
    "batch": 12,
    "max_new_tokens": 8,
    "lr": 1e-12,
    "warmup": 1,
    "max_norm": 1e9,
    "unfinished_penalty": 0.5,
    "max_sampler_gap": 100.0,  # the noise below is a gap
}


@dataclass
class Step:
    trained: Trained
    responses: list[Responses] = field(default_factory=list)
    outputs: list[Tensor] = field(
        default_factory=list
    )  # of map_micro_batches, with noise, in the order of calls
    gae: list[tuple[Tensor, ...]] = field(
        default_factory=list
    )  # token rewards, old values, advantages, returns

    @property
    def batch(self) -> Batch:
        return self.responses[0].batch

    @property
    def mask(self) -> Tensor:
        return self.batch.response_mask

    def moments(self, optimizer: str) -> Tensor:
        """The optimiser's exp_avg * 10 of all parameters, as one vector."""
        [checkpoint] = (self.trained.folder / "checkpoints").iterdir()
        state = load_file(checkpoint / f"{optimizer}.safetensors")
        count = sum(name.endswith(".exp_avg") for name in state)
        return torch.cat([state[f"{index}.exp_avg"].flatten() for index in range(count)]) * 10


def run_step(
    recipe: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, *, noise: float = 0.3, **settings: Any
) -> Step:
    step = Step(trained=None)  # type: ignore[arg-type]

    def with_noise(
        function: Callable[[Batch], Tensor], batch: Batch, max_tokens: int, *, packed: bool
    ) -> Tensor:
        exact = map_micro_batches(function, batch, max_tokens, packed=packed)
        generator = torch.Generator().manual_seed(len(step.outputs))
        changed = exact + noise * torch.randn(exact.shape, generator=generator) * batch.response_mask
        step.outputs.append(changed)
        return changed

    def recording_metrics(responses: Responses, logps: Tensor) -> dict[str, float]:
        step.responses.append(responses)
        return response_metrics(responses, logps)

    def recording_gae(
        rewards: Tensor, values: Tensor, mask: Tensor, **options: float
    ) -> tuple[Tensor, Tensor]:
        advantages, returns = gae(rewards, values, mask, **options)
        step.gae.append((rewards, values, advantages, returns))
        return advantages, returns

    response_metrics = rl_metrics.response_metrics
    monkeypatch.setattr(rl_metrics, "response_metrics", recording_metrics)
    monkeypatch.setattr(recipe, "map_micro_batches", with_noise)
    if hasattr(recipe, "gae"):
        gae = recipe.gae
        monkeypatch.setattr(recipe, "gae", recording_gae)
    critic = {"critic_lr": SETTINGS["lr"]} if hasattr(recipe, "gae") else {}
    step.trained = train(project_with_base(root), recipe, **SETTINGS | critic | settings)
    monkeypatch.undo()
    return step


def gradients(parameters: dict[str, nn.Parameter], loss: Tensor) -> Tensor:
    """Of a loss, in the order of `Step.moments`: matrices first, then vectors."""
    ordered = [p for p in parameters.values() if p.dim() > 1] + [
        p for p in parameters.values() if p.dim() <= 1
    ]
    grads = torch.autograd.grad(loss, ordered, allow_unused=True, retain_graph=True)
    return torch.cat(
        [
            torch.zeros_like(parameter).flatten() if grad is None else grad.flatten()
            for parameter, grad in zip(ordered, grads, strict=True)
        ]
    )
