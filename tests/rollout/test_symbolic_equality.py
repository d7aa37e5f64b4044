"""Equality of expressions by their values, within bounds."""

import pytest

from fairlead.rollout.symbolic_equality import are_equal


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("x^2 + 2x + 1", "(x+1)^2"),
        ("2sqrt(2)", r"\sqrt{8}"),
        (r"\frac{a}{b}", "a/b"),
        (r"\frac12", "0.5"),
        ("-x - -y", "y - x"),
        ("2^-3", "1/8"),
        ("[1, 2)", "[1,2)"),
        ("10^{100}", "10^100"),
    ],
)
def test_equal_values_are_equal(left: str, right: str) -> None:
    assert are_equal(left, right) and are_equal(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("x", "y"),
        ("x^2", "x^3"),
        ("(1,2)", "[1,2]"),
        ("1/0", "1/0"),
        ("x^200^200", "x^200^200"),
        ("9^9^9", "9^9^9"),
        ("1 +", "1"),
        ("(1", "1"),
        ("print(1)", "1"),
        ("", ""),
    ],
)
def test_what_differs_or_cannot_be_read_is_not_equal(left: str, right: str) -> None:
    assert not are_equal(left, right)
