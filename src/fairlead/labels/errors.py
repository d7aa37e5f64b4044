"""Errors that the studio shows to raters and leads.  The user can act on each of them.

StudioError            base class; an error about the database or the settings
+-- NotFound           404: does not exist, or not for this user
+-- NotAllowed         403: exists, but this user may not do this
+-- Conflict           409: not possible in the present state
|   +-- Stale          409: somebody else changed the values that this user saw
+-- Invalid            422: one or more inputs are wrong
"""

from collections.abc import Mapping
from typing import Any

from fairlead.core.errors import FairleadError


class StudioError(FairleadError):
    """`field` names the wrong input, if any."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFound(StudioError):
    """The object does not exist, or is not visible to this user."""


class NotAllowed(StudioError):
    """This user's role does not permit the action."""


class Conflict(StudioError):
    """The action is not possible in the present state."""


class Stale(Conflict):
    """Somebody else changed the values that this user saw.  `current` maps each field to its value now."""

    def __init__(self, message: str, *, current: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.current = dict(current)


class Invalid(StudioError):
    """One or more inputs are wrong; `problems` maps each field to what is wrong with its value."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        field = next(iter(self.problems), None)
        super().__init__(
            "; ".join(f"{name}: {problem}" for name, problem in self.problems.items()), field=field
        )
