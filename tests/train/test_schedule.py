import math

from pytest import approx

from fairlead.train.schedule import constant, cosine, learning_rate, linear, relative_rate
from fairlead.train.settings import Optim


def rates(num_steps: int, warmup: int) -> list[float]:
    return [cosine(step, num_steps, peak=1.0, warmup=warmup) for step in range(num_steps)]


def test_warm_up_then_half_a_cosine_down_to_a_tenth_by_hand() -> None:
    # warm-up 1/4, 2/4, 3/4, 4/4; then progress 0, 1/4, 2/4, 3/4, 1 of a cosine: 0.1 + 0.9 * (1 + cos) / 2
    middle = [0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2 for share in (0.25, 0.5, 0.75)]
    assert rates(9, 4) == approx([0.25, 0.5, 0.75, 1.0, 1.0, *middle, 0.1], abs=1e-12)
    assert middle[1] == approx(0.55, abs=1e-12)


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert rates(3, 0) == approx([1.0, 0.55, 0.1], abs=1e-12)


def test_the_peak_scales_all_of_it_and_the_floor_can_be_zero() -> None:
    assert cosine(2, 3, peak=3e-4, warmup=0) == approx(3e-5, abs=1e-12)
    assert cosine(2, 3, peak=1.0, warmup=0, floor=0.0) == approx(0.0, abs=1e-12)


def test_it_never_passes_the_peak_nor_falls_to_zero() -> None:
    for num_steps in (1, 2, 5, 50):
        for warmup in (0, 1, 10, 100):
            assert all(0 < rate <= 1 for rate in rates(num_steps, warmup))


def test_a_run_shorter_than_its_warm_up_stays_on_the_ramp() -> None:
    assert rates(3, 10) == approx([0.1, 0.2, 0.3], abs=1e-12)


def test_linear_falls_in_a_straight_line_to_a_tenth_by_hand() -> None:
    # warm-up 1/2, 2/2; then progress 0, 1/3, 2/3, 1 of a fall by 0.9
    rates_by_step = [linear(step, 6, peak=2.0, warmup=2) for step in range(6)]
    assert rates_by_step == approx([1.0, 2.0, 2.0, 1.4, 0.8, 0.2], abs=1e-12)


def test_constant_stays_at_the_peak_after_the_warm_up() -> None:
    assert [constant(step, peak=2.0, warmup=2) for step in range(4)] == approx([1.0, 2.0, 2.0, 2.0])


def test_the_configured_schedule_is_used() -> None:
    at_the_end = {
        "cosine": 0.2,
        "linear": 0.2,
        "constant": 2.0,
    }
    in_the_middle = {"cosine": 2 * (0.1 + 0.9 * 0.75), "linear": 2 * (1 - 0.9 / 3), "constant": 2.0}
    for schedule in ("cosine", "linear", "constant"):
        optim = Optim(lr=2.0, warmup=2, schedule=schedule)
        assert learning_rate(optim, 0, 6) == approx(1.0)
        assert learning_rate(optim, 3, 6) == approx(in_the_middle[schedule])
        assert learning_rate(optim, 5, 6) == approx(at_the_end[schedule])
        assert relative_rate(optim, 5, 6) == approx(at_the_end[schedule] / 2)


def test_the_default_schedule_is_cosine_to_the_last_bit() -> None:
    optim = Optim(lr=3e-4, warmup=7)
    for step in range(50):
        assert learning_rate(optim, step, 50) == cosine(step, 50, peak=3e-4, warmup=7)
