"""Files of a project as untrusted input: links, sizes, and broken JSON."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fairlead.labels.errors import NotFound
from fairlead.studio import project_files


@pytest.mark.parametrize("name", ["run-1", "a", "A.b_c-d", "0" * 250])
def test_names_of_letters_and_digits_are_names(name: str) -> None:
    assert project_files.is_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "-a", "a b", "a\n", "ä", "0" * 251]
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    assert not project_files.is_name(name)
    with pytest.raises(NotFound):
        project_files.folder_in(tmp_path, name)


def test_a_folder_must_exist_and_lie_in_the_parent(tmp_path: Path) -> None:
    (tmp_path / "project" / "run").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "project" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "project" / "file").write_text("text")
    assert project_files.folder_in(tmp_path / "project", "run") == tmp_path / "project" / "run"
    for name in ("missing", "link", "file"):
        with pytest.raises(NotFound, match=name):
            project_files.folder_in(tmp_path / "project", name)


def test_start_and_end_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert project_files.read_start(path, 4) == b"0123"
    assert project_files.read_end(path, 4) == (b"6789", True)
    assert project_files.read_end(path, 10) == (b"0123456789", False)


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            (tmp_path / "target").write_text("secret")
            path.symlink_to(tmp_path / "target")
        case "pipe":
            os.mkfifo(path)  # opening a pipe must not wait for a writer
    assert project_files.read_start(path, 10) is None
    assert project_files.read_end(path, 10) == (None, False)
    assert project_files.read_json(path) is None
    assert project_files.read_rows(path) == ([], 0, False)
    assert project_files.read_first_row(path) == {}


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b"[1]", None),
        (b"{", None),
        (b'{"a": "\xff"}', None),
        (b'{"a": "\\ud800"}', None),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":' + b"[" * 100_000, None),
    ],
    ids=["object", "not finite", "list", "broken", "not UTF-8", "half a pair", "a pair", "deep"],
)
def test_a_json_object_or_nothing(tmp_path: Path, content: bytes, value: dict[str, Any] | None) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert project_files.read_json(path) == value


def test_a_json_file_has_a_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    frame = len(json.dumps({"a": ""}))
    path.write_text(json.dumps({"a": "x" * (project_files.MAX_JSON - frame)}))
    assert project_files.read_json(path) is not None
    path.write_text(json.dumps({"a": "x" * (project_files.MAX_JSON - frame + 1)}))
    assert project_files.read_json(path) is None


def test_rows_skip_what_is_not_an_object_and_the_unfinished_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step": 1}\n[2]\n\nbroken\n{"step": 3}\n{"step": 4}')
    assert project_files.read_rows(path) == ([{"step": 1}, {"step": 3}], 2, False)


def test_of_a_long_file_the_complete_lines_at_the_end_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"step": 3}\n')  # 12 bytes each
    assert project_files.read_rows(path, 30) == ([{"step": 2}, {"step": 3}], 0, True)


def test_the_first_row_has_a_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert project_files.read_first_row(path) == {"a": 1}
    path.write_text(json.dumps({"a": "x" * project_files.MAX_FIRST_ROW}) + "\n")
    assert project_files.read_first_row(path) == {}


def test_values_become_objects_texts_and_numbers() -> None:
    assert project_files.table({"a": 1}) == {"a": 1} and project_files.table([1]) == {}
    texts = [project_files.text(value) for value in (None, "ä", 1.5, {"a": "ü"}, "x" * 301)]
    assert texts == ["", "ä", "1.5", '{"a": "ü"}', "x" * 299 + "…"]
    wholes = [project_files.whole(value) for value in (7, True, 1.0, "7", 2**53 - 1, 2**53)]
    assert wholes == [7, None, None, None, 2**53 - 1, None]
    numbers = [project_files.number(value) for value in (1.5, 2, float("inf"), float("nan"), "1", False)]
    assert numbers == [1.5, 2, None, None, None, None]
