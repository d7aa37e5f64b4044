"""Uploaded files: where they are stored, decompression, and files without usable rows."""

import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fairlead.labels import (
    events,
    uploads,
)
from fairlead.labels.database import Database
from fairlead.labels.errors import Invalid, NotFound
from fairlead.store.project import Project
from labels.import_files import assistant, json_lines, pair, store_upload, upload, user


def test_an_upload_is_stored_under_a_generated_name(database: Database, project: Project) -> None:
    uploaded = upload(database, project, json_lines(pair(1)), "../../etc/pass\u0000wd .jsonl")
    assert uploaded.filename == "passwd .jsonl"
    assert (project.data / "uploads" / uploaded.path).read_bytes() == json_lines(pair(1))
    assert uploaded.path.startswith("upload-") and uploaded.path.endswith(".jsonl")
    assert (uploaded.format, uploaded.row_kind, uploaded.num_bytes) == (
        "native",
        "comparison",
        len(json_lines(pair(1))),
    )
    with database.read() as connection:
        assert uploads.get(connection, uploaded.id) == uploaded
        recorded = events.list_after(connection, 0)
        with pytest.raises(NotFound, match="no upload 99"):
            uploads.get(connection, 99)
    assert "passwd" not in str(recorded)


def test_gzip_uploads_are_decompressed_and_limited_by_the_decompressed_size(
    database: Database, project: Project
) -> None:
    content = json_lines(*[pair(n) for n in range(2000)])
    several = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    assert store_upload(project, several).read_bytes() == content
    bomb = gzip.compress(b"0" * 3_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        store_upload(project, bomb)
    with pytest.raises(Invalid, match="cut off"):
        store_upload(project, several[:-20])
    with pytest.raises(Invalid, match="damaged"):
        store_upload(project, several[:50] + b"damage" + several[56:])
    assert len(list((project.data / "uploads").iterdir())) == 1  # rejected files are deleted


def test_an_upload_without_usable_rows_is_rejected_and_deleted(database: Database, project: Project) -> None:
    cases = [
        (b"\n\n", "has no rows"),
        (b"hello\n", "rows.jsonl:1: .*not valid JSON"),
        (b"\xff\xfe\n", "rows.jsonl: begins as utf-16 text, but"),
        (json_lines({"colour": "red"}), "rows.jsonl:1: no format has these columns: colour"),
        (
            json_lines({"prompt": user("2?"), "chosen": assistant("4"), "rejected": assistant("4")}),
            "rows.jsonl:1: chosen: .*equal",
        ),
        (b'[{"prompt": "2?"}, {]', "rows.jsonl:1: not valid JSON"),
    ]
    for content, why in cases:
        with pytest.raises(Invalid, match=why):
            upload(database, project, content, "rows.jsonl")
    with pytest.raises(Invalid, match="is empty"):
        store_upload(project, b"")
    assert list((project.data / "uploads").iterdir()) == []


def test_a_file_of_many_compressed_parts_is_refused_at_once(project: Project, monkeypatch: Any) -> None:
    content = json_lines(pair(1))
    assert store_upload(project, gzip.compress(content) * 50).read_bytes() == content * 50
    monkeypatch.setattr(uploads, "MAX_MEMBERS", 100)
    sizes: list[int] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or -1)
            return super().read(size)

    stream = Counted(gzip.compress(b"") * 200_000)
    with pytest.raises(Invalid, match="compressed parts"):
        uploads.store(project, stream, filename="rows.jsonl.gz", max_bytes=2**20)
    assert sum(sizes) < 2**21  # of 4 MB


@pytest.mark.parametrize(
    ("content", "filename", "format"),
    [
        (b"PK\x03\x04" + b"\x80" * 60, "rows.xlsx", "XLSX"),
        (b"PK\x03\x04" + b"\x80" * 60, "rows.docx", "DOCX"),
        (b"PK\x03\x04" + b"\x80" * 60, "rows.jsonl", "ZIP"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 60, "rows.xls", "XLS"),
        (b"%PDF-1.7", "rows.pdf", "PDF"),
        (b"\x89PNG\r\n", "rows.csv", "PNG"),
        (b"GIF89a\x01", "rows.csv", "GIF"),
        (b"{\\rtf1 Hello}", "rows.json", "RTF"),
        (b"\x04\x22\x4d\x18data", "rows.csv", "LZ4"),
        (b"\x1f\x9d\x90", "rows.csv", "(Z)"),
        (b"Obj\x01\x04", "rows.csv", "Avro"),
        (b"\x89HDF\r\n", "rows.csv", "HDF5"),
        (b"ID3\x04", "rows.csv", "MP3"),
        (b"SQLite format 3\0", "rows.db", "SQLITE"),
        (b"\x80\x04\x95", "rows.pkl", "PKL"),
        (b"<!DOCTYPE html>", "rows.json", "HTML"),
        (b"PAR1" + b"\x80" * 60 + b"PAR1", "rows", "Parquet"),
        (b"abc\0\x01\x02", "rows.bin", "Upload JSONL"),
        ("prompt,chosen,rejected\nwie schön,a,b\n".encode("latin-1"), "rows.csv", "UTF-8"),
        (b'{"a": "\xff"}\n', "rows.jsonl", "UTF-8"),
        (b'{"colour": "red"}\n', "rows.jsonl", "rename and remove columns"),
        (b"hello there\n", "rows.txt", "not valid JSON"),
    ],
)
def test_a_refusal_names_the_format_and_no_command(
    database: Database, project: Project, content: bytes, filename: str, format: str
) -> None:
    if "Parquet" in format:
        pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
    with pytest.raises(Invalid) as refused:
        upload(database, project, content, filename)
    said = str(refused.value)
    assert format in said.replace(filename, "")
    assert not re.search(r"--[a-z]|`|iconv|fairlead |pip install|docs/", said)
    assert list(project.data.glob("uploads/*")) == []


def test_a_parquet_file_that_unpacks_to_too_much_is_refused(
    database: Database, project: Project, tmp_path: Path, monkeypatch: Any
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"prompt": ["q" * 1000] * 3000, "chosen": ["a"] * 3000, "rejected": ["b"] * 3000})
    parquet.write_table(table, tmp_path / "rows.parquet", use_dictionary=False, compression="zstd")
    content = (tmp_path / "rows.parquet").read_bytes()
    assert len(content) < 50_000
    assert upload(database, project, content, "rows").row_kind == "comparison"  # found by its first bytes
    monkeypatch.setattr(uploads, "MAX_UNPACKED", 2**20)
    with pytest.raises(Invalid, match=r"3,000 rows and at least 2 MiB; a Parquet file may .* Split it"):
        upload(database, project, content, "rows.parquet")


@pytest.mark.parametrize("filename", ["pairs.csv", "C:\\data\\pairs.CSV.gz", "pairs.json", "pairs.jsonl.zst"])
def test_a_file_keeps_its_type(database: Database, project: Project, filename: str) -> None:
    content = json_lines(pair(1))
    if ".csv" in filename.lower():
        content = b"prompt,chosen,rejected\n1?,yes,no\n"
    elif filename == "pairs.json":
        content = json.dumps([pair(1)]).encode()
    if filename.endswith(".gz"):
        content = gzip.compress(content)
    elif filename.endswith(".zst"):
        pyarrow = pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
        content = pyarrow.compress(content, codec="zstd", asbytes=True)
    assert upload(database, project, content, filename).row_kind == "comparison"


def test_a_damaged_zstd_file_is_rejected(project: Project) -> None:
    pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
    with pytest.raises(Invalid, match="cannot be unpacked with zstd"):
        store_upload(project, b"\x28\xb5\x2f\xfdnothing", "pairs.jsonl.zst")


def test_a_label_beside_a_conversation_is_not_lost(database: Database, project: Project) -> None:
    row = {"messages": [*user("2?"), *assistant("5")], "label": "False"}
    assert upload(database, project, json_lines(row)).row_kind == "binary"
    with pytest.raises(Invalid, match="does not read reward = 1"):
        upload(database, project, json_lines({"messages": row["messages"], "reward": 1}))


def test_the_kind_of_an_upload_is_that_of_most_rows(database: Database, project: Project) -> None:
    prompts = [{"prompt": f"{n}?"} for n in range(2)]
    assert upload(database, project, json_lines(pair(1), *prompts)).row_kind == "prompt"
    assert upload(database, project, json_lines(pair(1), pair(2), *prompts[:1])).row_kind == "comparison"


def test_rows_are_not_lost_behind_very_many_empty_zstd_frames(project: Project) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra `hub` is not installed")
    content = json_lines(pair(1))
    rows, nothing = (arrow.compress(part, codec="zstd", asbytes=True) for part in (content, b""))
    assert store_upload(project, rows + nothing * 100_000 + rows).read_bytes() == content * 2
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        store_upload(project, arrow.compress(b" " * 10**7, codec="zstd", asbytes=True))
