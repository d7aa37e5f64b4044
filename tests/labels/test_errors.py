"""Errors that the studio shows to people."""

from fairlead.labels.errors import Conflict, Invalid, Stale


def test_a_stale_value_is_a_conflict_that_tells_the_values_now() -> None:
    now = {"name": "Better", "chips": ["clear"]}
    error = Stale("Somebody else has changed this.", current=now)
    now.clear()
    assert isinstance(error, Conflict) and str(error) == "Somebody else has changed this."
    assert error.current == {"name": "Better", "chips": ["clear"]}


def test_invalid_names_the_first_field_and_tells_every_problem() -> None:
    error = Invalid({"name": "is missing", "points": "must be 2 to 10"})
    assert (error.field, str(error)) == ("name", "name: is missing; points: must be 2 to 10")
    assert Invalid({}).field is None
