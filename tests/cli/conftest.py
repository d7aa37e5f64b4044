"""A project whose studio the commands look after."""

from pathlib import Path

import pytest

from outcome import Cli


@pytest.fixture
def home(tmp_path: Path, cli: Cli) -> Path:
    folder = tmp_path / "project"
    assert cli("init", folder).code == 0
    return folder
