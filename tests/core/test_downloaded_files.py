"""What a download may leave in the place of a file."""

from pathlib import Path

import pytest

from fairlead.core.downloaded_files import check_downloaded
from fairlead.core.errors import ModelError


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML>", "is a web page"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_file_of_a_model(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"^{path}: {why}"):
        check_downloaded(path)
    with pytest.raises(ModelError, match=f"^template.file=a: {why}"):
        check_downloaded(path, name="template.file=a")


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"{{ messages }}")
    check_downloaded(path)
