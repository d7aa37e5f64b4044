import math

from pytest import approx

from fairlead.train.schedule import cosine


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
