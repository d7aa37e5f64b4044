from pathlib import Path

import pytest
import torch
from pytest import approx

from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.model.policy import Policy
from fairlead.ops import kl
from fairlead.recipes import grpo
from fakes import Trained, check_finished, policy, project_with_base, shake, train

SETTINGS = {
    "name": "aligned", "model": "base", "prompts": "data/prompts.jsonl", "reward": "rule:data/vowels.py",
    "steps": 5, "batch": 16, "group": 4, "max_new_tokens": 8, "lr": 3e-3, "warmup": 2, "unfinished_penalty": 0.5, "checkpoint_every": 2,
}  # fmt: skip


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
    settings = SETTINGS | {"baseline": baseline, "lora_rank": rank}
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
        "lora_rank": 0,
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
        **SETTINGS | {"steps": 30, "batch": 24, "lora_rank": 0, "kl_coef": 0.0, "unfinished_penalty": 0.0},
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


def experience(actor: Policy) -> grpo.Experience:
    answers = [
        ((5, 6, 7), (8, 9, 10)),
        ((5, 6, 7), (11, 12)),
        ((20, 21), (22,)),
        ((20, 21), (23, 24, 25, 26)),
    ]
    rows = [Encoded((*p, *a), (False,) * len(p) + (True,) * len(a)) for p, a in answers]
    batch: Batch = collate(rows, pad_id=actor.pad_id)
    with torch.no_grad():
        reference = actor.token_logps(batch)
    return grpo.Experience(batch, torch.tensor([0.5, -0.5, 1.0, -1.0]), None, reference)


def test_the_loss_is_the_papers_by_hand(tmp_path: Path) -> None:
    """On policy: -A * log p for the gradient, plus kl_coef * k3, over all tokens alike."""
    actor = policy(tmp_path / "base")
    given = experience(actor)
    shake(actor.trainable(), scale=0.02)
    config = grpo.Config(name="x", model="m", reward="rule:score.py", prompts="p", group=2, batch=4)
    learned, logps = grpo.backward(actor, given, [0, 1, 2, 3], config, 10_000, kl_coef=0.1)
    found = {name: p.grad.clone() for name, p in actor.trainable().items() if p.grad is not None}
    for p in actor.trainable().values():
        p.grad = None
    mask = given.batch.response_mask
    own = actor.token_logps(given.batch)
    torch.testing.assert_close(logps, own.detach())
    assert given.reference_logps is not None
    surrogate = -(given.advantages[:, None] * own)[mask].sum() / 10
    price = 0.1 * kl.k3(own, given.reference_logps)[mask].sum() / 10
    (surrogate + price).backward()
    for name, grad in found.items():
        torch.testing.assert_close(grad, actor.trainable()[name].grad, atol=1e-6, rtol=1e-4)
    assert learned["kl_loss"] == approx(price.item(), rel=1e-4) and learned["kl_loss"] > 0


def test_a_batch_is_whole_groups() -> None:
    with pytest.raises(ValueError, match="multiple of group = 3"):
        grpo.Config(name="x", model="m", reward="rule:score.py", prompts="p", batch=16, group=3)
    with pytest.raises(ValueError, match="between 1 and batch / group = 4"):
        grpo.Config(
            name="x", model="m", reward="rule:score.py", prompts="p", batch=16, group=4, minibatches=5
        )
