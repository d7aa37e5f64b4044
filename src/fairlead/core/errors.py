"""Everything that Fairlead raises on purpose.

    FairleadError                exit
    ├── ConfigError              1     a key, value or combination in a configuration
    ├── DataError                1     a row or a file of data
    ├── ModelError               1     a folder that is no model, missing weights, a template that cannot train
    ├── ProjectError             1     a project folder, an artifact, a name
    ├── NonFiniteStep            1     a loss or gradient that is not a number; weights are untouched
    ├── GateRefused              3     a check that decides said no
    └── Stopped                  130   Ctrl-C; the work so far is in a checkpoint

A message says where, what value, why it is wrong and what to do.  Anything else that reaches the command line is a bug: exit 2.
"""

from collections.abc import Sequence


class FairleadError(Exception):
    """Something the user can act on; `str(error)` is one or two sentences."""

    exit_code = 1


class ConfigError(FairleadError):
    """One or more problems in a configuration, all reported at once."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DataError(FairleadError):
    pass


class ModelError(FairleadError):
    pass


class ProjectError(FairleadError):
    pass


class NonFiniteStep(FairleadError):
    pass


class GateRefused(FairleadError):
    exit_code = 3


class Stopped(FairleadError):
    exit_code = 130


def require(condition: bool, name: str, value: object, why: str) -> None:
    """For a Config's `__post_init__`: pydantic turns the ValueError into one line of a ConfigError."""
    if not condition:
        raise ValueError(f"{name} = {value!r}: {why}")
