"""Rows of a data set on the Hugging Face Hub, streamed: `hf:OWNER/NAME[:split]`.

Importing this module imports `datasets`, which the extra `hub` installs.  No code that comes with a data set is run.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import datasets
import datasets.exceptions

from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowLocation

PREFIX = "hf:"
NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?::([\w.\[\]%:+-]+))?")


def read_hub_rows(
    source: str, load: Callable[..., Iterable[dict[str, Any]]] = datasets.load_dataset
) -> Iterator[SourceRow]:
    """Every row of one split (`train` unless named), numbered from 1."""
    name, split = parse_hub_name(source)
    path = f"{PREFIX}{name}:{split}"
    try:
        for number, row in enumerate(load(name, split=split, streaming=True), start=1):
            yield SourceRow(
                RowLocation(path, number), {column: _json_ready(value) for column, value in row.items()}
            )
    except (
        OSError,
        ValueError,
        datasets.exceptions.DatasetsError,
    ) as error:  # no network, no such data set, no such split
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(
            f"{path}: cannot be read: {reason}. Check the name, the split and the network."
        ) from error


def parse_hub_name(source: str) -> tuple[str, str]:
    match = NAME.fullmatch(source)
    if match is None:
        raise DataError(f"{source}: not the name of a data set. Write hf:OWNER/NAME or hf:OWNER/NAME:SPLIT.")
    return match[1], match[2] or "train"


def _json_ready(value: object) -> Any:
    """What JSON can hold.  Tables made with pandas say NaN where a value is absent; dates and the like become text."""
    if isinstance(value, dict):
        return {str(key): _json_ready(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json_ready(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)
