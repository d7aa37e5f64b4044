import pytest

from fairlead.core import errors


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (errors.ConfigError("a"), 1),
        (errors.DataError("a"), 1),
        (errors.ModelError("a"), 1),
        (errors.ProjectError("a"), 1),
        (errors.NonFiniteStep("a"), 1),
        (errors.GateRefused("a"), 3),
        (errors.Stopped("a"), 130),
    ],
)
def test_every_error_has_the_exit_code_of_the_contract(error: errors.FairleadError, exit_code: int) -> None:
    assert (error.exit_code, str(error)) == (exit_code, "a")


def test_a_config_error_prints_one_problem_per_line() -> None:
    assert str(errors.ConfigError(["first.", "second."])) == "first.\nsecond."


def test_require_names_the_value_and_why() -> None:
    errors.require(True, "beta", 1.0, "must be positive")
    with pytest.raises(ValueError, match=r"^beta = -1: must be positive$"):
        errors.require(False, "beta", -1, "must be positive")
