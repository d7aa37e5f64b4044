"""However a step is cut into micro-batches, its gradients are those of one batch.

The recipes themselves run, one step each: after the first step of AdamW its `exp_avg` is a tenth of the
gradient, and the checkpoint holds it.  Rows differ in length, so a mean of means would be another number.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pytest import approx
from safetensors.torch import load_file
from torch import Tensor

from fairlead.core import jsonl
from fairlead.core.seed import derive_seed
from fairlead.encoding.batching import collate, micro_batches, minibatches
from fairlead.model.critic import open_critic
from fairlead.model.policy import Policy, load_policy
from fairlead.model.scalar_model import ScalarModel
from fairlead.recipes import alternate, dpo, kto, ppo, process_reward, reward, sft, uft
from fakes import policy, project_with_base, train, turns
from rl_steps import gradients, run_step

BUDGETS = (1, 150, 1_000_000)  # each row alone; a few together; all in one
NO_CLIPPING = 1e9

COMMON = {"model": "base", "rank": 0, "warmup": 1, "max_norm": NO_CLIPPING, "seed": 3}
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
    """All of them in one vector, from the only checkpoint: after step 1, or after two steps that hardly move,
    the sum of both.
    """
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


def initial_networks(root: Path) -> tuple[Policy, ScalarModel]:
    """The policy and the critic of PPO before its first step."""
    base = str(root / "artifacts" / "model" / "base")
    actor = load_policy(base)
    return actor, open_critic(actor, None, lora=None, run_seed=0)


def test_an_off_policy_update_of_ppo_does_not_depend_on_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {
        budget: run_step(ppo, tmp_path / str(budget), monkeypatch, minibatches=2, micro_tokens=budget)
        for budget in BUDGETS
    }
    whole = steps[BUDGETS[-1]]
    assert 0.1 < whole.trained.rows[0]["clip_frac"] < 0.9
    for budget in BUDGETS[:-1]:
        # Far off the policy the ratio multiplies rounding: any way of computing this is 3e-6 from double
        # precision.
        assert difference(whole.moments("optimizer"), steps[budget].moments("optimizer")) < 3e-6
        assert difference(whole.moments("critic_optimizer"), steps[budget].moments("critic_optimizer")) < 1e-6
        assert steps[budget].trained.rows[0] == approx(whole.trained.rows[0], abs=1e-5, rel=1e-5)


def test_an_update_of_ppo_is_the_mean_over_the_tokens_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = run_step(ppo, tmp_path, monkeypatch, minibatches=2, micro_tokens=1)
    actor, critic = initial_networks(tmp_path)
    old_logps, _, old_values = step.outputs
    _, _, plain, returns = step.gae[0]
    of_response = plain[step.mask]
    advantages = (plain - of_response.mean()) / of_response.std(correction=0)
    logps, values = actor.token_logps(step.batch), critic.state_values(step.batch)
    first, second = minibatches(range(12), 1, 2, run_seed=derive_seed(0, "ppo", 0))
    policy_losses, value_losses, clipped = [], [], []
    for rows in (first, second):
        surrogate, error, outside = [], [], []
        for row in rows:
            for t in step.mask[row].nonzero().flatten().tolist():
                advantage = float(advantages[row, t])
                ratio = (logps[row, t] - float(old_logps[row, t])).exp()
                bounded = ratio.clamp(0.8, 1.2)
                surrogate.append(torch.maximum(-advantage * ratio, -advantage * bounded))
                value, before, target = values[row, t], float(old_values[row, t]), float(returns[row, t])
                held = before + (value - before).clamp(-0.2, 0.2)
                error.append(0.5 * torch.maximum((value - target) ** 2, (held - target) ** 2))
                outside.append(float(abs(ratio.item() - 1) > 0.2))
        policy_losses.append(torch.stack(surrogate).mean())
        value_losses.append(torch.stack(error).mean())
        clipped.append(sum(outside) / len(outside))
    metrics = step.trained.rows[0]
    assert metrics["policy_loss"] == approx(torch.stack(policy_losses).mean().item(), abs=1e-5)
    assert metrics["value_loss"] == approx(torch.stack(value_losses).mean().item(), abs=1e-5)
    assert metrics["clip_frac"] == approx(sum(clipped) / 2, abs=1e-6)
    # exp_avg after two updates: 0.1 * (0.9 * first + second)
    expected = gradients(actor.trainable(), 0.9 * policy_losses[0] + policy_losses[1])
    assert difference(expected, step.moments("optimizer")) < 1e-5
    expected = gradients(critic.trainable(), 0.9 * value_losses[0] + value_losses[1])
    assert difference(expected, step.moments("critic_optimizer")) < 1e-5


def test_the_mean_of_the_means_of_micro_batches_is_a_different_gradient(tmp_path: Path) -> None:
    """Otherwise the tolerance of 1e-6 above would mean nothing."""
    actor = policy(tmp_path / "base")
    rows = [actor.encode(turns("Say it.", "It is. " * (1 + i % 5)), num_context=1) for i in range(10)]
    groups = micro_batches([len(row) for row in rows], 60)
    assert len(groups) > 1
    losses = []
    for group in groups:
        batch = collate([rows[i] for i in group], pad_id=actor.pad_id)
        losses.append(-actor.token_logps(batch).sum() / batch.response_mask.sum() / len(groups))
    means = gradients(actor.trainable(), torch.stack(losses).sum())
    batch = collate(rows, pad_id=actor.pad_id)
    whole = gradients(actor.trainable(), -actor.token_logps(batch).sum() / batch.response_mask.sum())
    assert (whole - means).abs().max() > 1e-3
