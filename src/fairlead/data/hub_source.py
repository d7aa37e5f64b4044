"""Rows of a data set on the Hugging Face Hub, streamed: `hf:OWNER/NAME[@SUBSET][:SPLIT]`.

This module imports `datasets`, which the extra `hub` installs.  It runs no code that comes with a data set.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import datasets
import datasets.exceptions

from fairlead.core.errors import DataError
from fairlead.data.file_source import SourceRow
from fairlead.data.json_values import json_value
from fairlead.data.row_problem import RowLocation

PREFIX = "hf:"
NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w.+ -]+))?(?::([\w.\[\]%:+-]+))?")


class HubName(NamedTuple):
    name: str
    subset: str | None
    split: str


def read_hub_rows(
    source: str,
    load: Callable[..., Iterable[dict[str, Any]]] = datasets.load_dataset,
    *,
    revision: str | None = None,
) -> Iterator[SourceRow]:
    """Yield every row of one split (default `train`), numbered from 1."""
    name, subset, split = parse_hub_name(source)
    path = f"{PREFIX}{name}{'@' + subset if subset else ''}:{split}"
    try:
        rows = load(name, subset, split=split, revision=revision, streaming=True)
        for number, row in enumerate(rows, start=1):
            values = {column: json_value(value) for column, value in row.items()}
            yield SourceRow(RowLocation(path, number), values)
    # no network, no such data set, or no such split
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(
            f"{path}: cannot be read: {reason}. Check the name, the subset, the split and the network."
        ) from error


def parse_hub_name(source: str) -> HubName:
    match = NAME.fullmatch(source)
    if match is None:
        raise DataError(
            f"{source}: not the name of a data set. Write hf:OWNER/NAME, hf:OWNER/NAME:SPLIT "
            "or hf:OWNER/NAME@SUBSET:SPLIT."
        )
    return HubName(match[1], match[2], match[3] or "train")
