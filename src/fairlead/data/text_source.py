"""Open a text file as UTF-8 with line feeds, whatever it was compressed with and encoded in.

gzip and zstd are unpacked, UTF-16 and UTF-32 are decoded where the file begins with a byte order mark, and
carriage returns alone, as old spreadsheets end lines, become line feeds.  What is no text is refused by its
first bytes.  Everything is streamed.
"""

import codecs
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from fairlead.core.errors import DataError

COMPRESSED = (".gz", ".zst")
BEGINNING_BYTES = 64 * 2**10  # looked at to tell the encoding and the ends of lines
CHUNK_BYTES = 1 << 20
# UTF-32 comes first, because its mark begins with that of UTF-16.
ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What a file begins with that has no rows -> what it is, and the remedy.
FOREIGN_MARKS = {
    b"\x1f\x8b": ("compressed with gzip", "Give it a name that ends in .gz."),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "Give it a name that ends in .zst."),
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "Unpack it, or save the sheet as CSV."),
    b"PAR1": ("a Parquet file", "Give it a name that ends in .parquet."),
    b"ARROW1": ("an Arrow file", "Give it a name that ends in .arrow."),
    b"\x80\x04": ("a Python pickle, which could run any code", "Export the rows as JSON Lines."),
    b"\x80\x05": ("a Python pickle, which could run any code", "Export the rows as JSON Lines."),
    b"<!DOCTYPE": ("a web page, perhaps of an error", "Download the file again."),
    b"<!doctype": ("a web page, perhaps of an error", "Download the file again."),
    b"<html": ("a web page, perhaps of an error", "Download the file again."),
    b"version https://git-lfs": ("a Git LFS pointer, not the file", "Fetch it with: git lfs pull"),
}


def refuse_stand_in(path: Path) -> None:
    """Refuse a short text that a download left in place of a file of bytes."""
    with open(path, "rb") as file:
        beginning = file.read(BEGINNING_BYTES)
    for mark, (what, remedy) in FOREIGN_MARKS.items():
        if mark.isascii() and mark[:1] in b"<v" and beginning.startswith(mark):
            raise DataError(f"{path}: is {what}. {remedy}")
    if not beginning:
        raise DataError(f"{path}: is empty. Copy or download the file again.")


def open_text(path: Path) -> IO[bytes]:
    """The text of the file as UTF-8."""
    file = _unpacked(path)
    beginning = file.read(BEGINNING_BYTES)
    encoding = next((name for mark, name in ENCODINGS.items() if beginning.startswith(mark)), None)
    text = beginning if encoding is None else _decoded_beginning(beginning, encoding)
    has_old_ends = b"\r" in text[:-1] and b"\n" not in text
    file.close()
    file = _unpacked(path)
    if encoding is None and not has_old_ends:
        return file
    return io.BufferedReader(_Recoded(file, encoding, has_old_ends, str(path)), CHUNK_BYTES)


def beginning_of(path: Path) -> bytes:
    """The first bytes of the text, without white space; raises DataError if the file is no text."""
    with open_text(path) as file:
        beginning = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, (what, remedy) in FOREIGN_MARKS.items():
        if beginning.startswith(mark):
            raise DataError(f"{path}: is {what}. {remedy}")
    if beginning[1:2] == b"\0" or beginning[:1] == b"\0":
        raise DataError(f"{path}: contains NUL bytes, so it is not UTF-8 text. Convert it, or save it again.")
    return beginning


def load_arrow_source(path: Path) -> Any:
    """The module that reads Parquet, Arrow and zstd; raises DataError without its extra."""
    try:
        from fairlead.data import arrow_source
    except ModuleNotFoundError as error:
        raise DataError(
            f"{path}: needs the package {error.name}. Install it with: pip install 'fairlead[hub]'"
        ) from error
    return arrow_source


class _Recoded(io.RawIOBase):
    """The bytes of a file in another encoding, as UTF-8 with line feeds."""

    def __init__(self, file: IO[bytes], encoding: str | None, has_old_ends: bool, path: str) -> None:
        self.file = file
        self.decode: Callable[[bytes, bool], str] | None = None
        if encoding is not None:
            self.decode = codecs.getincrementaldecoder(encoding)().decode
        self.has_old_ends = has_old_ends
        self.encoding = encoding
        self.path = path
        self.pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        is_end = False
        while not self.pending and not is_end:
            raw = self.file.read(CHUNK_BYTES)
            is_end = not raw
            self.pending = self._recoded(raw, is_end)
        part = self.pending[: len(buffer)]
        self.pending = self.pending[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self.file.close()
        super().close()

    def _recoded(self, raw: bytes, is_end: bool) -> bytes:
        if self.decode is not None:
            try:
                raw = self.decode(raw, is_end).encode("utf-8")
            except UnicodeError as error:
                raise DataError(
                    f"{self.path}: begins as {self.encoding} text, but a part of it is not: {error}. "
                    "Save the file again as UTF-8."
                ) from error
        return raw.replace(b"\r", b"\n") if self.has_old_ends else raw


def _decoded_beginning(beginning: bytes, encoding: str) -> bytes:
    return codecs.getincrementaldecoder(encoding)("replace").decode(beginning).encode("utf-8", "replace")


def _unpacked(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(COMPRESSED):
        refuse_stand_in(path)
    if path.name.lower().endswith(".zst"):
        return io.BufferedReader(load_arrow_source(path).open_zst(path))
    if path.name.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    return open(path, "rb")
