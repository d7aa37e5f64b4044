"""A disk that refuses is one sentence with the path, whoever reports it."""

import errno
from pathlib import Path

import pytest

from fairlead.core import files, full_disk
from fairlead.core.errors import ProjectError


def test_a_library_that_reports_a_full_disk_in_words_is_understood(tmp_path: Path) -> None:
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(RuntimeError) as caught, files.atomic_folder(tmp_path / "step-5"):
        raise RuntimeError(words)
    assert full_disk.disk_errno(caught.value) == errno.ENOSPC
    path = full_disk.refused_path(caught.value)
    assert path == str(tmp_path / "step-5")
    message = full_disk.describe(errno.ENOSPC, path)
    assert message.startswith(f"{path}: No space left on device. What was complete before is kept.")
    assert list(tmp_path.iterdir()) == []


def test_the_path_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, files.atomic_file(tmp_path / "rows.jsonl"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert full_disk.disk_errno(caught.value) == errno.EDQUOT
    assert full_disk.refused_path(caught.value) == str(tmp_path / "rows.jsonl")


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    assert full_disk.disk_errno(ValueError("no space in this word")) is None
    assert full_disk.disk_errno(RuntimeError("database or disk is full")) == errno.ENOSPC


def test_what_does_not_fit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    full_disk.require_space(tmp_path / "runs" / "step-5", 1000)
    with pytest.raises(
        ProjectError, match=r"step-5: No space left.*: 1000000000000.0 MB are needed, .* free"
    ):
        full_disk.require_space(tmp_path / "runs" / "step-5", 10**18)
