"""Exceptions that Fairlead raises on purpose, and the exit code of each.

    FairleadError                exit
    ├── ConfigError              1     an invalid key, value or combination in a configuration
    │   └── RuleError            1     whatever a user's rule raised, and scores that are no numbers
    ├── DataError                1     an invalid row or data file
    ├── ModelError               1     no model in the folder, missing weights, an unusable chat template
    ├── ProjectError             1     a problem with a project folder, an artifact or a name
    ├── EndpointError            1     a server over HTTP that stays away or refuses; the work so far is kept
    ├── NonFiniteStep            1     a loss or gradient that is not finite; weights are untouched
    ├── GateRefused              3     a gate failed
    └── Stopped                  130   Ctrl-C; the work so far is in a checkpoint

A message says where the problem is, which value is wrong, why, and what to do.  Any other exception that
reaches the command line is a bug and exits with 2.
"""

from collections.abc import Sequence


class FairleadError(Exception):
    """An error that the user can act on; `str(error)` is one or two sentences."""

    exit_code = 1


class ConfigError(FairleadError):
    """All problems of a configuration, reported together."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class RuleError(ConfigError):
    pass


class DataError(FairleadError):
    pass


class ModelError(FairleadError):
    pass


class ProjectError(FairleadError):
    pass


class EndpointError(FairleadError):
    pass


class NonFiniteStep(FairleadError):
    pass


class GateRefused(FairleadError):
    exit_code = 3


class Stopped(FairleadError):
    exit_code = 130


def require(condition: bool, name: str, value: object, why: str) -> None:
    """Validate a field in a Config's `__post_init__`.

    Pydantic turns the ValueError into one line of a ConfigError.
    """
    if not condition:
        raise ValueError(f"{name} = {value!r}: {why}")


def require_positive(config: object, *names: str) -> None:
    """`require` that each of these numeric fields is above 0."""
    for name in names:
        value = getattr(config, name)
        require(value > 0, name, value, "must be positive")
