import math

import pytest

from fairlead.report import formatting
from fairlead.stats.interval import Interval


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.83149, "0.831"),
        (0.0523, "0.0523"),
        (12.44, "12.4"),
        (1.234, "1.23"),
        (1204, "1,204"),
        (1204.6, "1,205"),
        (3.2e-5, "3.2e−5"),
        (3e-5, "3e−5"),
        (2.5e9, "2.5e9"),
        (-0.292, "−0.292"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "not a number"),
    ],
)
def test_number(value: float, shown: str) -> None:
    assert formatting.number(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.837, "84 %"), (0, "0 %"), (1, "100 %"), (0.003, "0.3 %"), (0.998, "99.8 %"), (-0.04, "−4 %")],
)
def test_percent_never_says_none_or_all_unless_it_is(share: float, shown: str) -> None:
    assert formatting.percent(share) == shown.replace(" ", formatting.NARROW_SPACE)


def test_an_interval_in_per_cent() -> None:
    assert (
        formatting.percent_interval(Interval(0.837, 0.792, 0.876, 300))
        == f"84{formatting.NARROW_SPACE}% [79, 88]"
    )


def test_an_interval_without_bounds_says_so() -> None:
    nothing = Interval(0.5, -math.inf, math.inf, 1)
    assert formatting.fixed_range(nothing) == "[−∞, ∞]"
    assert formatting.percent_range(nothing) == "[−∞, ∞]"


def test_fixed_has_no_negative_zero() -> None:
    assert [formatting.fixed(value) for value in (-0.001, -0.01, 1234.5)] == ["0.00", "−0.01", "1,234.50"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7200, "2 h"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert formatting.duration(seconds).replace(formatting.NARROW_SPACE, " ") == shown


def test_count_knows_one_from_many() -> None:
    assert [formatting.count(n, "prompt") for n in (0, 1, 300)] == ["0 prompts", "1 prompt", "300 prompts"]


def test_what_hides_or_reorders_text_is_made_visible() -> None:
    assert formatting.visible("a\x00b\u202ec\ud800d\ufeff") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    assert formatting.visible("tab\tline\nÄ 中 🙂") == "tab\tline\nÄ 中 🙂"
