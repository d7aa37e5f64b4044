"""Uploads: files of rows that people send to a campaign, stored until an import reads them."""

import secrets
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO

from sqlalchemy import Column, Connection, Integer, String, Table, insert, select

from fairlead.core import digest, files
from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data import file_source, text_source
from fairlead.data.file_source import SourceRow
from fairlead.data.row_problem import RowProblem
from fairlead.labels import column_choice, events, page_messages, row_parsing
from fairlead.labels.column_choice import ColumnChoice
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Invalid, NotFound
from fairlead.store.project import Project

upload_table = Table(
    "upload",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", String(80), nullable=False),  # generated file name in data/uploads
    Column("filename", String(120), nullable=False),  # name on the user's computer; only displayed
    Column("digest", String(80), nullable=False),
    Column("num_bytes", Integer, nullable=False),
    Column("format", String(20), nullable=False),
    Column("row_kind", String(20), nullable=False),
    Column("uploaded_by", String(40), nullable=False),
    Column("uploaded_at", String(27), nullable=False),
)
_BLOCK_BYTES = 1 << 20
_MEMBER_BYTES = 1 << 16  # what a gzip member does not use is copied, so it is read in smaller parts
MAX_UNPACKED = 2 << 30  # bytes of the columns of a Parquet file
MAX_ROWS = 5_000_000  # of a Parquet file
MAX_MEMBERS = (
    20_000  # of a gzip or zstd file: each costs time, and holds at least a few kilobytes in practice
)
# First bytes of a file that has no rows -> its format, and what to do with it.
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive", "Unpack it and upload the files inside"),
    (
        b"\xd0\xcf\x11\xe0",
        "an old Excel or Word document (XLS or DOC)",
        "Open it and save the sheet as CSV, then upload that",
    ),
    (b"%PDF", "a PDF document", "Copy its texts into a CSV or JSONL file"),
    (b"\x89PNG", "a picture (PNG)", "Upload texts instead"),
    (b"\xff\xd8\xff", "a picture (JPG)", "Upload texts instead"),
    (b"GIF87a", "a picture (GIF)", "Upload texts instead"),
    (b"GIF89a", "a picture (GIF)", "Upload texts instead"),
    (b"ID3\x03", "a sound (MP3)", "Upload texts instead"),
    (b"ID3\x04", "a sound (MP3)", "Upload texts instead"),
    (b"{\\rtf", "a text document (RTF)", "Copy its texts into a CSV or JSONL file"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", "Unpack it, or compress it as gzip"),
    (b"\x1f\x9d", "compressed with compress (Z)", "Unpack it, or compress it as gzip"),
    (b"Obj\x01", "an Avro table", "Save the rows as JSONL or Parquet"),
    (b"\x89HDF", "an HDF5 file", "Save the rows as JSONL or Parquet"),
    (b"BZh", "compressed with bzip2 (BZ2)", "Unpack it, or compress it as gzip"),
    (b"\xfd7zXZ", "compressed with XZ", "Unpack it, or compress it as gzip"),
    (b"7z\xbc\xaf", "a 7Z archive", "Unpack it and upload the files inside"),
    (b"Rar!", "a RAR archive", "Unpack it and upload the files inside"),
    (b"SQLite format 3", "an SQLITE database (DB)", "Export the table as CSV"),
    (b"\x80\x04", "a Python pickle (PKL)", "Save the rows as JSONL or Parquet"),
    (b"\x80\x05", "a Python pickle (PKL)", "Save the rows as JSONL or Parquet"),
    (b"\x93NUMPY", "a NumPy array (NPY)", "Save the rows as JSONL or Parquet"),
)
_OFFICE = {
    ".xlsx": ("an Excel workbook (XLSX)", "Open it and save the sheet as CSV, then upload that"),
    ".xlsm": ("an Excel workbook (XLSM)", "Open it and save the sheet as CSV, then upload that"),
    ".ods": ("a spreadsheet (ODS)", "Open it and save the sheet as CSV, then upload that"),
    ".docx": ("a Word document (DOCX)", "Copy its texts into a CSV or JSONL file"),
    ".npz": ("NumPy arrays (NPZ)", "Save the rows as JSONL or Parquet"),
}
# First bytes of a file of rows, whatever its name says.
_MARKS = ((b"PAR1", ".parquet"), (b"ARROW1", ".arrow"))
TOO_MANY_MEMBERS = (
    f"consists of more than {MAX_MEMBERS:,} compressed parts (gzip members). "
    "Unpack it, and compress it as one"
)
FORMATS = "JSONL, JSON, CSV, TSV, Parquet or Arrow"


@dataclass(frozen=True)
class Upload:
    path: str
    filename: str
    digest: str
    num_bytes: int
    format: str  # empty if the columns have to be described first, see `column_choice`
    row_kind: str  # kind of most rows; empty like the format
    uploaded_by: str
    uploaded_at: str
    id: int = 0  # 0 until the upload is registered


def store(project: Project, stream: IO[bytes], *, filename: str = "", max_bytes: int) -> Path:
    """Store an uploaded file under a generated name of the same type, and decompress gzip and zstd.

    Raises Invalid for a file that is empty, too large or damaged.
    """
    blocks = _unpack(stream)
    first = next((block for block in blocks if block), b"")
    suffix = _suffix(first, _shown_name(filename))
    path = project.data / "uploads" / f"upload-{secrets.token_hex(8)}{suffix}"
    size = 0
    with files.atomic_file(path) as file:
        for block in chain([first], blocks):
            size += len(block)
            if size > max_bytes:
                raise Invalid(
                    {
                        "file": f"is larger than {max_bytes // 2**20} MiB; "
                        "split it and upload the parts one after another"
                    }
                )
            file.write(block)
        if size == 0:
            raise Invalid({"file": "is empty"})
    return path


def inspect(path: Path, *, filename: str, by: str, describe_later: bool = False) -> Upload:
    """Detect the format of a stored file from its first rows; pass the result to `register`.

    The two steps are separate because digesting a large file must not block a write transaction.  A file
    without any usable row is deleted and raises Invalid; with `describe_later`, a file of rows whose columns
    are not understood is kept, so that its owner can say what they hold.
    """
    try:
        _check_unpacked_size(path)
        format, row_kind = detect_format(path, ColumnChoice())
    except DataError as error:
        if not (describe_later and _has_rows(path)):
            path.unlink()
            raise Invalid({"file": problem_for_page(error, path, filename)}) from error
        format, row_kind = "", ""
    return Upload(
        path=path.name,
        filename=_shown_name(filename),
        digest=digest.of_file(path),
        num_bytes=path.stat().st_size,
        format=format,
        row_kind=row_kind,
        uploaded_by=by,
        uploaded_at=now(),
    )


def register(connection: Connection, upload: Upload) -> Upload:
    values = {name: value for name, value in asdict(upload).items() if name != "id"}
    row = connection.execute(insert(upload_table).values(values).returning(upload_table)).one()
    body = {"digest": row.digest, "bytes": row.num_bytes, "format": row.format, "kind": row.row_kind}
    events.append(
        connection, verb="upload.made", actor=row.uploaded_by, subject=f"upload/{row.id}", body=body
    )
    return Upload(**row._mapping)


def get(connection: Connection, id: int) -> Upload:
    row = connection.execute(select(upload_table).where(upload_table.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no upload {id}. Upload the file again.")
    return Upload(**row._mapping)


def _unpack(stream: IO[bytes]) -> Iterator[bytes]:
    """Decompress in blocks of bounded size, whatever the compression ratio."""
    first = stream.read(_BLOCK_BYTES)
    if first.startswith(b"\x28\xb5\x2f\xfd"):
        stream.seek(0)
        yield from _unpack_zstd(stream)
        return
    if not first.startswith(b"\x1f\x8b"):
        while first:
            yield first
            first = stream.read(_BLOCK_BYTES)
        return
    stream.seek(0)
    packed, unpacker = stream.read(_MEMBER_BYTES), zlib.decompressobj(wbits=31)
    in_member, num_members = True, 1
    try:
        while packed:
            yield unpacker.decompress(packed, _BLOCK_BYTES)
            packed = unpacker.unconsumed_tail
            if unpacker.eof:  # a gzip file may consist of several members
                packed = unpacker.unused_data.lstrip(b"\0")
                unpacker, in_member = zlib.decompressobj(wbits=31), False
            packed = packed or stream.read(_MEMBER_BYTES)
            if packed and not in_member:
                in_member, num_members = True, num_members + 1
                if num_members > MAX_MEMBERS:
                    raise Invalid({"file": TOO_MANY_MEMBERS})
        if in_member:
            yield unpacker.flush()
        if in_member and not unpacker.eof:
            raise Invalid({"file": "is an incomplete gzip file that was cut off; upload it again"})
    except zlib.error as error:
        raise Invalid({"file": f"is a damaged gzip file ({error}); compress and upload it again"}) from error


def _suffix(first: bytes, filename: str) -> str:
    """The suffix under which a file is stored.  Raises Invalid for a file that cannot hold rows."""
    begin = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:4096]
    for mark, suffix in _MARKS:
        if begin.startswith(mark):
            return suffix
    for mark, what, remedy in _FOREIGN:
        if begin.startswith(mark):
            what, remedy = _OFFICE.get(Path(filename.lower()).suffix, (what, remedy))
            raise Invalid({"file": f"is {what}, which cannot be read here. {remedy}"})
    if begin[:1] == b"<" and begin[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise Invalid(
            {"file": "is a web page (HTML or XML), which cannot be read here. Download the data itself"}
        )
    suffix = file_source.row_suffix(Path(filename)) or ".json"
    if suffix in (".parquet", ".arrow"):
        return suffix
    has_mark = first.startswith(tuple(text_source.ENCODINGS))
    if b"\0" in begin and not has_mark:
        raise Invalid({"file": f"is not text and of no known format. Upload {FORMATS}"})
    return suffix


def _unpack_zstd(stream: IO[bytes]) -> Iterator[bytes]:
    try:
        with text_source.load_arrow_source(Path("file.zst")).unpack_zst(stream) as unpacked:
            while block := unpacked.read(_BLOCK_BYTES):
                yield block
    except (DataError, OSError) as error:
        raise Invalid({"file": f"cannot be unpacked with zstd ({error}); upload it without"}) from error


def _check_unpacked_size(path: Path) -> None:
    """A small Parquet file may unpack to any size."""
    if path.suffix != ".parquet":
        return
    source = text_source.load_arrow_source(path)
    num_rows, num_bytes = source.parquet_size(path, max_bytes=MAX_UNPACKED)
    if num_bytes > MAX_UNPACKED or num_rows > MAX_ROWS:
        raise DataError(
            f"{path}: unpacks to {counted(num_rows, 'row')} and at least {num_bytes // 2**20:,} MiB; a "
            f"Parquet file may have {MAX_ROWS:,} rows and {MAX_UNPACKED // 2**20:,} MiB. "
            "Split it and upload the parts."
        )


def problem_for_page(error: DataError, path: Path, filename: str) -> str:
    return page_messages.for_page(str(error)).replace(str(path), _shown_name(filename))


def _has_rows(path: Path) -> bool:
    try:
        return any(isinstance(row, SourceRow) for row in islice(file_source.read_file_rows(path), 100))
    except DataError:
        return False


def detect_format(path: Path, choice: ColumnChoice) -> tuple[str, str]:
    """The format of a file, and the kind of most of its first rows."""
    format, rows = row_parsing.choose_format(column_choice.read_rows(path, choice))
    votes: Counter[str] = Counter()
    first_problem: RowProblem | None = None
    for row in islice(row_parsing.parse_rows(rows, format), column_choice.NUM_SAMPLE):
        if isinstance(row, RowProblem):
            first_problem = first_problem or row
        else:
            votes[row.kind] += 1
    if not votes:
        assert first_problem is not None, "a detected format implies rows"
        raise DataError(str(first_problem))
    return format, votes.most_common(1)[0][0]


def _shown_name(filename: str) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:120] or "rows"
