"""However a step is cut into micro-batches, its gradients are those of one batch.

The recipes themselves run, one step each: after the first step of AdamW its `exp_avg` is a tenth of the gradient, and the checkpoint
holds it.  Rows differ in length, so a mean of means would be another number.
"""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pytest import approx
from safetensors.torch import load_file
from torch import Tensor

from fairlead.core import jsonl
from fairlead.encoding.batching import collate, micro_batches
from fairlead.model.policy import Policy
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fairlead.recipes import alternate, dpo, kto, ppo, process_reward, reward, sft, uft
from fakes import (
    policy,
    project_with_base,
    train,
    turns,
)

BUDGETS = (1, 150, 1_000_000)  # each row alone; a few together; all in one
NO_CLIPPING = 1e9

COMMON = {"model": "base", "lora_rank": 0, "warmup": 1, "max_norm": NO_CLIPPING, "seed": 3}
LEARNERS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "sft": (sft, {"demonstrations": "data/demonstrations.jsonl", "batch": 1000}),
    "noisy sft with replay": (
        sft,
        {"demonstrations": "data/demonstrations.jsonl", "batch": 1000, "neftune_alpha": 5.0}
        | {"replay": "data/earlier.jsonl", "replay_share": 0.2},
    ),
    "reward": (reward, {"comparisons": "data/comparisons.jsonl", "batch": 1000}),
    "process reward": (process_reward, {"stepwise": "data/stepwise.jsonl", "batch": 1000}),
    "dpo": (dpo, {"comparisons": "data/comparisons.jsonl", "batch": 1000}),
    "ipo": (dpo, {"comparisons": "data/comparisons.jsonl", "batch": 1000, "loss": "ipo"}),
    "orpo": (dpo, {"comparisons": "data/comparisons.jsonl", "batch": 1000, "loss": "orpo"}),
    "kto": (kto, {"binary": "data/binary.jsonl", "batch": 1000}),
    "uft": (
        uft,
        {
            "demonstrations": "data/demonstrations.jsonl",
            "comparisons": "data/comparisons.jsonl",
            "ratings": "data/ratings.jsonl",
        }
        | {"batch": 1000, "beta": 0.3},
    ),
    "alternate": (
        alternate,
        {
            "demonstrations": "data/demonstrations.jsonl",
            "comparisons": "data/comparisons.jsonl",
            "batch": 1000,
            "steps": 2,
        }
        | {"lr": 1e-12},  # a step of each kind
    ),
    "ppo": (
        ppo,
        {
            "prompts": "data/prompts.jsonl",
            "reward": "rule:data/vowels.py",
            "steps": 1,
            "epochs": 1,
            "batch": 24,
            "max_new_tokens": 12,
        },
    ),
}


def first_gradients(folder: Path, optimizer: str) -> Tensor:
    """All of them in one vector, from the only checkpoint: after step 1, or after two steps that hardly move, the sum of both."""
    [checkpoint] = (folder / "checkpoints").iterdir()
    state = load_file(checkpoint / f"{optimizer}.safetensors")
    return torch.cat([state[name].flatten() for name in sorted(state) if name.endswith(".exp_avg")]) * 10


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest gradient where that is above 1."""
    assert 0.05 < one.abs().max() < 3
    return float((one - other).abs().max() / one.abs().max().clamp_min(1))


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_recipes_step_does_not_depend_on_the_budget(tmp_path: Path, learner: str, shape: str) -> None:
    project = project_with_base(tmp_path, shape)
    jsonl.write(
        project.data / "earlier.jsonl", [{"text": "The sky is blue. " * (1 + i % 4)} for i in range(12)]
    )
    recipe, options = LEARNERS[learner]
    found: dict[int, dict[str, Tensor]] = {}
    logged: dict[int, dict[str, float]] = {}
    for budget in BUDGETS:
        made = train(project, recipe, **COMMON, **options, name=f"budget-{budget}", micro_tokens=budget)
        names = ("optimizer", "critic_optimizer") if learner == "ppo" else ("optimizer",)
        found[budget] = {name: first_gradients(made.folder, name) for name in names}
        logged[budget] = made.rows[0]
    for budget in BUDGETS[:-1]:
        for name, whole in found[BUDGETS[-1]].items():
            assert difference(whole, found[budget][name]) < 1e-6, (name, budget)
        assert logged[budget] == approx(
            logged[BUDGETS[-1]], abs=1e-3, rel=1e-5
        )  # sums of log-probabilities are of order 100


def off_policy(folder: Path) -> tuple[Policy, ScalarModel, ppo.Experience]:
    """Answers whose old log-probabilities, old values, advantages and returns are random, so that both clips take part."""
    actor = policy(folder / "base")
    critic = new_reward_model(str(folder / "base"), run_seed=0)
    batch = collate(
        [
            actor.encode(turns("Say it." + " Please." * (i % 3), "It is. " * (1 + i % 5)), num_context=1)
            for i in range(11)
        ],
        pad_id=actor.pad_id,
    )
    generator = torch.Generator().manual_seed(0)

    def noise(scale: float) -> Tensor:
        return torch.randn(batch.tokens.shape, generator=generator) * scale

    with torch.no_grad():
        logps, values = actor.token_logps(batch) + noise(0.3), critic.state_values(batch) + noise(0.3)
    return actor, critic, ppo.Experience(batch, logps, values, noise(1.0), noise(1.0))


def gradients(model: Policy | ScalarModel) -> Tensor:
    found = [p.grad.flatten() for p in model.trainable().values() if p.grad is not None]
    for parameter in model.trainable().values():
        parameter.grad = None
    return torch.cat(found)


def test_ppos_backward_off_policy(tmp_path: Path) -> None:
    actor, critic, experience = off_policy(tmp_path)
    part = [7, 2, 9, 0, 4, 5, 10]
    found = {}
    for budget in BUDGETS:
        config = ppo.Config(name="x", model="x", reward="rule:score.py", prompts="x", micro_tokens=budget)
        metrics = ppo.backward(actor, critic, experience, part, config, config.micro_tokens)
        assert 0.1 < metrics["clip_frac"] < 0.9
        found[budget] = (gradients(actor), gradients(critic), metrics)
    whole = found[BUDGETS[-1]]
    for budget in BUDGETS[:-1]:
        # Far off the policy the ratio multiplies rounding: any way of computing this is 3e-6 from double precision.
        assert difference(whole[0], found[budget][0]) < 3e-6
        assert difference(whole[1], found[budget][1]) < 1e-6
        assert found[budget][2] == approx(whole[2], abs=1e-5)


def test_ppos_backward_is_the_mean_over_the_tokens_of_its_rows(tmp_path: Path) -> None:
    actor, critic, experience = off_policy(tmp_path)
    part = [7, 2, 9]
    config = ppo.Config(name="x", model="x", reward="rule:score.py", prompts="x", micro_tokens=1)
    metrics = ppo.backward(actor, critic, experience, part, config, config.micro_tokens)
    with torch.no_grad():
        logps, values = actor.token_logps(experience.batch), critic.state_values(experience.batch)
    policy_losses, value_losses, clipped = [], [], []
    for row in part:
        for t in experience.batch.response_mask[row].nonzero().flatten().tolist():
            old, advantage = float(experience.old_logps[row, t]), float(experience.advantages[row, t])
            ratio = math.exp(float(logps[row, t]) - old)
            policy_losses.append(max(-advantage * ratio, -advantage * min(max(ratio, 0.8), 1.2)))
            value, before, target = (
                float(x[row, t]) for x in (values, experience.old_values, experience.returns)
            )
            held = before + min(max(value - before, -0.2), 0.2)
            value_losses.append(0.5 * max((value - target) ** 2, (held - target) ** 2))
            clipped.append(float(abs(ratio - 1) > 0.2))
    for name, losses in (
        ("policy_loss", policy_losses),
        ("value_loss", value_losses),
        ("clip_frac", clipped),
    ):
        assert metrics[name] == approx(sum(losses) / len(losses), abs=1e-5), name  # of order 1


def test_the_mean_of_micro_batches_means_would_be_another_gradient(
    tmp_path: Path,
) -> None:  # or 1e-6 would say nothing
    actor = policy(tmp_path / "base")
    rows = [actor.encode(turns("Say it.", "It is. " * (1 + i % 5)), num_context=1) for i in range(10)]
    groups = micro_batches([len(row) for row in rows], 60)
    assert len(groups) > 1
    for group in groups:
        batch = collate([rows[i] for i in group], pad_id=actor.pad_id)
        (-actor.token_logps(batch).sum() / batch.response_mask.sum() / len(groups)).backward()
    means = gradients(actor)
    batch = collate(rows, pad_id=actor.pad_id)
    (-actor.token_logps(batch).sum() / batch.response_mask.sum()).backward()
    assert (gradients(actor) - means).abs().max() > 1e-3
