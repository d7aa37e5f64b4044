import numpy as np
import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.ops.combine_rewards import disagreement, lagrangian, pooled, pooled_steps, update_multiplier
from fairlead.ops.pool_names import Pool, StepPool


def test_three_members_by_hand() -> None:
    scores = tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]])
    # means 3 and 1; variances (4 + 1 + 9) / 3 = 14/3 and (1 + 1 + 4) / 3 = 2
    assert pooled(scores, pool="mean", penalty=0.5).tolist() == [3.0, 1.0]
    assert pooled(scores, pool="worst", penalty=0.5).tolist() == [1.0, 0.0]
    assert pooled(scores, pool="mean-variance", penalty=0.5).tolist() == approx([3 - 7 / 3, 0.0], abs=1e-6)
    assert disagreement(scores).tolist() == approx([(14 / 3) ** 0.5, 2**0.5], abs=1e-6)


@pytest.mark.parametrize("pool", ["mean", "worst", "mean-variance"])
def test_pools_equal_numpy(pool: Pool) -> None:
    scores = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    array = scores.double().numpy()
    expected = {
        "mean": np.mean(array, axis=0),
        "worst": np.min(array, axis=0),
        "mean-variance": np.mean(array, axis=0) - 0.7 * np.var(array, axis=0),
    }
    assert np.abs(pooled(scores, pool=pool, penalty=0.7).numpy() - expected[pool]).max() < 1e-5  # of order 1
    assert np.abs(disagreement(scores).numpy() - np.std(array, axis=0)).max() < 1e-5


def test_doubt_costs_where_it_is_asked_to() -> None:
    # fails if the variance were added, or if the best member were taken for the worst
    sure, doubtful = tensor([[1.0], [1.0]]), tensor([[0.0], [2.0]])
    assert pooled(sure, pool="mean", penalty=1.0) == pooled(doubtful, pool="mean", penalty=1.0)
    for pool in ("worst", "mean-variance"):
        assert pooled(sure, pool=pool, penalty=1.0) > pooled(doubtful, pool=pool, penalty=1.0)


def test_the_lagrangian_by_hand() -> None:
    # (1 + 2 * (0.5 - 1) + 1 * (3 - 0)) / (1 + 2 + 1) = (1 - 1 + 3) / 4
    found = lagrangian(tensor([1.0]), tensor([[0.5], [3.0]]), tensor([1.0, 0.0]), tensor([2.0, 1.0]))
    assert found.tolist() == approx([0.75], abs=1e-6)
    score = tensor([1.0, -2.0])
    assert torch.equal(
        lagrangian(score, tensor([[5.0, 5.0]]), tensor([9.0]), tensor([0.0])), score
    )  # a constraint at rest


def test_a_multiplier_rises_below_its_floor_and_falls_above_it_but_not_under_nothing() -> None:
    assert update_multiplier(0.5, 0.2, floor=1.0, lr=0.1) == approx(0.58, abs=1e-9)  # 0.5 + 0.1 * 0.8
    assert update_multiplier(0.5, 2.0, floor=1.0, lr=0.1) == approx(0.4, abs=1e-9)
    assert update_multiplier(0.05, 2.0, floor=1.0, lr=0.1) == 0.0


@pytest.mark.slow
def test_dual_ascent_finds_the_constrained_best() -> None:
    """Ten answers; the helpful ones are harmful.  The best mixture with harmlessness of at least 0.6 is known
    by hand.

    helpful = x, harmless = 1 - x for x = 0, 0.1 … 0.9: whatever the policy, helpful + harmless = 1, so the
    best within the bound has harmless 0.6 and helpful 0.4.  Without the bound the policy goes to x = 0.9.
    """
    x = torch.arange(10) / 10

    def solve(*, floor: float) -> tuple[float, float, float]:
        logits = torch.zeros(10, requires_grad=True)
        multiplier = 0.0
        helpful: list[float] = []
        multipliers: list[float] = []
        for _ in range(6000):
            policy = logits.softmax(dim=0)
            worth: Tensor = lagrangian(x, (1 - x)[None], tensor([floor]), tensor([multiplier]))
            entropy = -(policy * policy.log()).sum()
            (gradient,) = torch.autograd.grad((policy * worth).sum() + 0.05 * entropy, logits)
            with torch.no_grad():
                logits += 0.5 * gradient
            harmless = float((policy.detach() * (1 - x)).sum())
            multiplier = update_multiplier(multiplier, harmless, floor=floor, lr=0.02)
            helpful.append(1 - harmless)
            multipliers.append(multiplier)
        return sum(helpful[-2000:]) / 2000, sum(multipliers[-2000:]) / 2000, 1 - sum(helpful[-2000:]) / 2000

    helpful, multiplier, harmless = solve(floor=0.6)
    assert harmless == approx(0.6, abs=0.01) and helpful == approx(0.4, abs=0.01) and multiplier > 0.5
    helpful, multiplier, harmless = solve(floor=-1.0)  # a bound that costs nothing
    assert harmless < 0.3 and multiplier == 0.0


# sigma: 3/4, 1/2, 1/4 where steps end; 9 stands where none does
STEPS = tensor([[9.0, np.log(3), 0.0, -np.log(3)], [np.log(3), 9.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0]])
IS_END = tensor([[False, True, True, True], [True, False, False, False], [False, False, False, False]])


@pytest.mark.parametrize(
    ("pool", "expected"),
    # 1/4; (3/4)(1/2)(1/4) = 3/32; (3/4 + 1/2 + 1/4) / 3; 1/4.  One step is itself; no step is nothing right.
    [
        ("minimum", [0.25, 0.75, 0.0]),
        ("product", [3 / 32, 0.75, 0.0]),
        ("mean", [0.5, 0.75, 0.0]),
        ("last", [0.25, 0.75, 0.0]),
    ],
)
def test_steps_pooled_by_hand(pool: StepPool, expected: list[float]) -> None:
    assert pooled_steps(STEPS, IS_END, pool=pool).tolist() == approx(expected, abs=1e-6)


@pytest.mark.parametrize("pool", ["minimum", "product", "mean", "last"])
def test_only_the_last_step_counts_for_last_and_any_other_for_the_rest(pool: StepPool) -> None:
    raised = STEPS.clone()
    raised[0, 2] -= 3.0  # the middle step, below the last one
    before, after = (pooled_steps(scores, IS_END, pool=pool)[0].item() for scores in (STEPS, raised))
    assert (after == before) if pool == "last" else (after < before)
