"""Whether a file is the one that was meant, or what a download left in its place."""

from pathlib import Path

from fairlead.core.errors import ModelError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
WEB_PAGES = (b"<!doctype html", b"<html")  # a download that was answered with a page, such as a login


def check_downloaded(path: Path, *, name: str | None = None) -> None:
    """Raise ModelError if a file is a Git LFS pointer, a web page, or empty.  Errors call it `name`."""
    name = name or str(path)
    with open(path, "rb") as file:
        start = file.read(256)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(WEB_PAGES):
        raise ModelError(
            f"{name}: is a web page, not the file of a model. Download the file itself; on the Hub, its "
            "address has /resolve/ in place of /blob/."
        )
    if start.startswith(LFS_POINTER):
        raise ModelError(
            f"{name}: is a Git LFS pointer, a text that stands for the real file. "
            "Run `git lfs pull` in the folder, or download the file."
        )
    if not start:
        raise ModelError(f"{name}: is empty. Download or copy the file again.")
