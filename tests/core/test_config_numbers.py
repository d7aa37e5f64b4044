import pytest

from fairlead.core.config_numbers import number_problem


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("batch", 10**9, ""),
        ("batch", 10**9 + 1, "must be at most 1,000,000,000"),
        ("optim.warmup", -(10**10), "must be at most 1,000,000,000"),
        ("sizes", (3, 10**10), "must be at most 1,000,000,000"),
        ("epochs", 100_001, "must be at most 100,000"),
        ("seed", 2**63 - 1, ""),
        ("seed", 2**63, "must be at most 9,223,372,036,854,775,807"),
        ("lr", 1e30, ""),
        ("lr", float("nan"), "must be a finite number"),
        ("weights", {"rm": float("inf")}, "must be a finite number"),
        ("name", "9" * 30, ""),
        ("whiten", True, ""),
    ],
)
def test_numbers_that_no_run_can_use_are_named(key: str, value: object, problem: str) -> None:
    assert number_problem(key, value) == problem
