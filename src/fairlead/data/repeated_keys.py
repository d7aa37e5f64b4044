"""Decode JSON strictly: no NaN, no numbers beyond a float, and repeated keys of an object are remembered."""

import json
from typing import Any, NoReturn


class RepeatedKeys:
    """A key that an object has twice with different values.  JSON readers keep the last one silently."""

    def __init__(self) -> None:
        self.repeated: str | None = None

    def decoder(self) -> json.JSONDecoder:
        return json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=_refuse_constant, parse_float=_finite
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            self.repeated = next((key for key, item in pairs if value[key] != item), self.repeated)
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is out of range")
    return value
