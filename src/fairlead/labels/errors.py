"""What people who give feedback, and those who lead them, can be told.  All are the user's to act on."""

from collections.abc import Mapping

from fairlead.core.errors import FairleadError


class StudioError(FairleadError):
    """`field` names the input at fault, where there is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFound(StudioError):
    """There is no such thing, or not for this person."""


class NotAllowed(StudioError):
    """It is there, but this person may not do it."""


class Conflict(StudioError):
    """It could be done, but not as things stand."""


class Invalid(StudioError):
    """One or more inputs are wrong; `problems` says what is wrong with each field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        field = next(iter(self.problems), None)
        super().__init__("; ".join(f"{name}: {why}" for name, why in self.problems.items()), field=field)
