"""How a message names a setting: `too_long=drop` for a configuration, `--too-long drop` for an option.

Recipes are run by `fairlead train`, which takes keys, and by commands with options.  A remedy that shared
code prints names the setting in the form that the command takes.
"""

from dataclasses import dataclass

# Settings that the commands with options take by position, as their help names them.
POSITIONAL = {"model": "MODEL", "a": "A", "b": "B"}


@dataclass(frozen=True)
class Spelling:
    with_options: bool

    def name(self, key: str) -> str:
        """`max_new_tokens`, or `--max-new-tokens`."""
        if not self.with_options or key.isupper():
            return key
        return POSITIONAL.get(key) or f"--{key.replace('_', '-')}"

    def setting(self, key: str, value: object) -> str:
        """`too_long=drop`, or `--too-long drop`."""
        return f"{self.name(key)}{' ' if self.with_options else '='}{value}"

    def use(self, key: str, value: object) -> str:
        """`Set too_long=drop`, or `Add --too-long drop`: the beginning of a sentence."""
        return f"{self.verb} {self.setting(key, value)}"

    @property
    def verb(self) -> str:
        return "Add" if self.with_options else "Set"


def capitalised(sentence: str) -> str:
    """The sentence with its first letter in upper case; the other letters stay."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


KEYS = Spelling(with_options=False)
OPTIONS = Spelling(with_options=True)
