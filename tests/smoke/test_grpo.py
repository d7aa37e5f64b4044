from pathlib import Path

import pytest
import torch
from pytest import approx
from torch import tensor

from fairlead.model.policy import load_policy
from fairlead.ops import kl
from fairlead.recipes import grpo
from fakes import Trained, check_finished, project_with_base, train
from rl_steps import gradients, run_step

SETTINGS = {
    "name": "aligned",
    "model": "base",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "steps": 5,
    "batch": 16,
    "group": 4,
    "max_new_tokens": 8,
    "lr": 3e-3,
    "warmup": 2,
    "unfinished_penalty": 0.5,
    "checkpoints.every": 2,
}


def check_books(made: Trained) -> None:
    for row in made.rows:
        assert row["reward"] == approx(row["score"] - 0.5 * (1 - row["finished_frac"]), abs=1e-4)
        assert row["sampler_gap"] < 1e-4
        assert 0 <= row["clip_frac"] <= 1 and 0 <= row["equal_frac"] <= 1
        assert 0 < row["response_tokens"] <= 8


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("baseline", ["group", "leave-one-out", "batch"])
def test_a_run_with_each_baseline(tmp_path: Path, baseline: str, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"baseline": baseline, "rank": rank}
    made = train(project, grpo, **settings)
    check_books(made)
    assert (
        made.rows[0]["kl"] == approx(0, abs=1e-3) and made.rows[-1]["kl_k3"] > 0
    )  # it began at its reference, and moved
    check_finished(project, grpo, made, **settings)


def test_several_passes_and_no_reference(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {
        "epochs": 2,
        "minibatches": 2,
        "kl_coef": 0.0,
        "rank": 0,
        "probe": "rule:data/vowels.py",
    }
    made = train(project, grpo, **settings)
    check_books(made)
    assert all("kl" not in row and "probe" in row and row["kl_loss"] == 0 for row in made.rows)
    check_finished(project, grpo, made, **settings)


def test_the_score_rises(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(
        project,
        grpo,
        **SETTINGS | {"steps": 30, "batch": 24, "rank": 0, "kl_coef": 0.0, "unfinished_penalty": 0.0},
    )
    scores = made.series("score")
    assert sum(scores[-5:]) / 5 > 1.2 * sum(scores[:5]) / 5


def test_a_step_does_not_depend_on_the_budget(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [
        train(project, grpo, **SETTINGS | {"name": f"of-{budget}", "micro_tokens": budget, "steps": 1}).rows[
            0
        ]
        for budget in (1, 100, 100_000)
    ]
    for row in rows[1:]:
        assert row == approx(rows[0], abs=1e-5, rel=1e-4)


def test_the_loss_is_the_papers_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On policy: -A * log p for the gradient, plus kl_coef * k3, over all tokens alike."""
    step = run_step(grpo, tmp_path, monkeypatch, group=4, kl_coef=0.1)
    [responses], [reference_logps] = step.responses, step.outputs
    scores = tensor(
        [
            sum(c in "aeiou" for c in answer.text) / 4 - 0.5 * (not answer.finished)
            for answer in responses.answers
        ]
    ).view(3, 4)
    advantages = ((scores - scores.mean(1, keepdim=True)) / (scores.std(1, keepdim=True) + 1e-4)).flatten()
    actor = load_policy(str(tmp_path / "artifacts" / "model" / "base"))
    logps = actor.token_logps(step.batch)
    num_tokens = int(step.mask.sum())
    surrogate = -(advantages[:, None] * logps)[step.mask].sum() / num_tokens
    penalty = 0.1 * kl.k3(logps, reference_logps)[step.mask].sum() / num_tokens
    expected = gradients(actor.trainable(), surrogate + penalty)
    torch.testing.assert_close(step.moments("optimizer"), expected, atol=1e-6, rtol=1e-4)
    assert expected.abs().max() > 0.05
    metrics = step.trained.rows[0]
    assert metrics["kl_loss"] == approx(penalty.item(), rel=1e-4) and metrics["kl_loss"] > 0


def test_a_batch_is_whole_groups() -> None:
    with pytest.raises(ValueError, match="multiple of group = 3"):
        grpo.Config(name="x", model="m", reward="rule:score.py", prompts="p", batch=16, group=3)
    with pytest.raises(ValueError, match="between 1 and batch / group = 4"):
        grpo.Config(
            name="x", model="m", reward="rule:score.py", prompts="p", batch=16, group=4, minibatches=5
        )
