import math

import torch
from pytest import approx
from torch import tensor

from fairlead.rollout.sampling import draw, greedy, sampler_logps, uniforms

# probabilities 0.1, 0.2, 0.3, 0.4
LOGITS = tensor([[0.1, 0.2, 0.3, 0.4]]).log()


def probabilities(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> list[float]:
    found: list[float] = (
        sampler_logps(LOGITS, temperature=temperature, top_k=top_k, top_p=top_p).exp()[0].tolist()
    )
    return found


def test_at_temperature_one_without_cuts_it_is_the_softmax() -> None:
    assert probabilities() == approx([0.1, 0.2, 0.3, 0.4], abs=1e-6)
    assert torch.equal(sampler_logps(LOGITS + 7, temperature=1.0, top_k=0, top_p=1.0).argmax(), tensor(3))


def test_temperature_by_hand() -> None:
    # 0.5 squares the odds: 1 : 4 : 9 : 16 of 30
    assert probabilities(temperature=0.5) == approx([1 / 30, 4 / 30, 9 / 30, 16 / 30], abs=1e-6)


def test_top_k_by_hand() -> None:
    assert probabilities(top_k=2) == approx([0, 0, 3 / 7, 4 / 7], abs=1e-6)
    assert probabilities(top_k=1) == approx([0, 0, 0, 1], abs=1e-6)
    assert probabilities(top_k=99) == approx([0.1, 0.2, 0.3, 0.4], abs=1e-6)


def test_top_p_keeps_the_token_that_crosses_it() -> None:
    # in order 0.4, 0.3, 0.2, 0.1: half needs the first two, 0.75 the first three, a tiny share the first
    assert probabilities(top_p=0.5) == approx([0, 0, 3 / 7, 4 / 7], abs=1e-6)
    assert probabilities(top_p=0.75) == approx([0, 2 / 9, 3 / 9, 4 / 9], abs=1e-6)
    assert probabilities(top_p=0.01) == approx([0, 0, 0, 1], abs=1e-6)


def test_top_p_sees_what_temperature_and_top_k_left() -> None:
    # top_k 3 leaves 2/9, 3/9, 4/9; 4/9 < 0.5 <= 7/9, so two stay
    assert probabilities(top_k=3, top_p=0.5) == approx([0, 0, 3 / 7, 4 / 7], abs=1e-6)


def test_rows_are_cut_each_by_itself() -> None:
    logits = torch.cat([LOGITS, LOGITS.flip(1)])
    found = sampler_logps(logits, temperature=1.0, top_k=0, top_p=0.5).exp()
    assert found[1].tolist() == approx([4 / 7, 3 / 7, 0, 0], abs=1e-6)


def test_a_draw_inverts_the_cumulative_distribution() -> None:
    # cumulative 0.1, 0.3, 0.6, 1.0
    numbers = tensor([0.0, 0.05, 0.15, 0.29, 0.31, 0.59, 0.61, 0.999999], dtype=torch.float64)
    assert draw(LOGITS.log_softmax(-1).expand(8, 4), numbers).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logps = sampler_logps(tensor([[0.0, 1.0, 2.0, 1.5, 0.0]]), temperature=1.0, top_k=2, top_p=1.0)
    numbers = torch.cat(
        [torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1], tensor([math.nextafter(1.0, 0.0)])]
    )
    assert set(draw(logps.expand(1001, 5), numbers).tolist()) == {2, 3}


def test_draws_follow_the_distribution() -> None:
    # 200 000 draws at a fixed seed: each frequency within four standard deviations, and the total variation
    # below 0.01
    weights = torch.rand(50, generator=torch.Generator().manual_seed(1))
    expected = weights / weights.sum()
    numbers = uniforms([3], 200_000)[0]
    counts = torch.bincount(draw(expected.log().expand(200_000, 50), numbers), minlength=50)
    frequencies = counts / 200_000
    deviations = (expected * (1 - expected) / 200_000).sqrt()
    assert ((frequencies - expected).abs() / deviations).max() < 4
    assert 0.5 * (frequencies - expected).abs().sum() < 0.01  # 0.006 is expected
    chi_square = float(((counts - 200_000 * expected) ** 2 / (200_000 * expected)).sum())
    assert 49 - 4 * math.sqrt(98) < chi_square < 49 + 4 * math.sqrt(98)  # 49 degrees of freedom


def test_greedy_takes_the_likeliest() -> None:
    assert greedy(tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])).tolist() == [1, 0]


def test_uniform_numbers_belong_to_their_row() -> None:
    both = uniforms([11, 22], 5)
    assert both.dtype == torch.float64 and both.min() >= 0 and both.max() < 1
    assert torch.equal(both[1:], uniforms([22], 5))
    assert torch.equal(both[:, :3], uniforms([11, 22], 3))  # more tokens do not change the first ones
    assert not torch.equal(both[0], both[1])
