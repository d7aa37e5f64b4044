"""Vendored files are unchanged: their digests equal the table beside them, and each has its licence."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "src/fairlead/studio/static/vendor", ROOT / "tests/browser/vendor"]
ROW = re.compile(r"^\| `([^`]+)` \|.*\| [^|]*`([^`]+LICENSE)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parts[-2])
def test_files_of_others_are_as_they_came(folder: Path) -> None:
    rows = ROW.findall((folder / "README.md").read_text())
    assert rows
    for name, licence, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        assert (folder / licence).stat().st_size > 500
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        *(name for row in rows for name in row[:2]),
    }
