"""Where the real data lies, which is no part of the repository."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("FAIRLEAD_SHARED", Path(__file__).parents[3] / "shared"))


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a file in shared/data; the test skips where it is absent."""

    def locate(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"no {name} in {SHARED / 'data'}; set FAIRLEAD_SHARED to the folder that holds data/")
        return path

    return locate
