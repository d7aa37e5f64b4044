"""Make the values of tables, such as Parquet files and data sets of the Hub, into JSON values."""

import base64
import math
from typing import Any

import numpy as np


def json_value(value: object) -> Any:
    """Convert to a JSON value.

    NaN, which pandas writes for missing values, becomes null; dates become strings, and arrays lists.
    """
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return json_value(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    return value if value is None or isinstance(value, str | int | float) else str(value)
