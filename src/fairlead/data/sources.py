"""Find the files that a source names: a file, a folder, a pattern, or an entry of `dataset_info.json`.

    data/pairs.jsonl                a file
    data/parts                      a folder of files of one type, or a folder of `save_to_disk`
    'data/part-*.parquet'           a pattern
    data/dataset_info.json:NAME     an entry of LLaMA-Factory's list of data sets

`hub_source` reads data sets of the Hub.
"""

import glob
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fairlead.core.errors import DataError
from fairlead.data import file_source, text_source
from fairlead.data.file_source import SourceRow
from fairlead.data.llama_factory import Entry
from fairlead.data.row_problem import RowProblem

Rows = Iterator[SourceRow | RowProblem]
INFO_NAME = "dataset_info.json"
# Words in the names of files that are parts of one data set, kept apart on purpose.
SPLIT_NAMES = ("train", "test", "validation", "valid", "val", "dev", "eval", "held_out")


@dataclass(frozen=True)
class Source:
    rows: Rows
    format: str | None = None  # where the source says what it holds
    is_hub: bool = False
    num_samples: int | None = None  # rows to take at random; None for all


def open_source(source: str, read_hub: Callable[[str], Rows]) -> Source:
    """The rows of a source; `read_hub` reads `hf:` names."""
    if source.startswith("hf:"):
        return Source(read_hub(source), is_hub=True)
    path, colon, name = source.rpartition(":")
    if colon and Path(path).name == INFO_NAME:
        return _open_entry(Path(path), name, read_hub)
    if Path(source).name == INFO_NAME and Path(source).is_file() and _entries(Path(source)):
        names = ", ".join(_entries(Path(source)))
        raise DataError(f"{source}: lists data sets. Name one of them as {source}:NAME: {names}.")
    files = files_of(source)
    return Source(chain.from_iterable(map(file_source.read_file_rows, files)))


def files_of(source: str) -> list[Path]:
    """The files of a path or a pattern, in the order of their names.  A file need not exist."""
    path = Path(source)
    if path.is_dir() and not source.endswith(tuple(file_source.SUFFIXES)):
        return _files_in(path)
    if path.exists() or not glob.has_magic(source):
        return [path]
    files = [Path(match) for match in sorted(glob.glob(source, recursive=True)) if Path(match).is_file()]
    if not files:
        raise DataError(f"{source}: no file has such a name. Check the pattern.")
    _require_one_type(files, source)
    return files


def _files_in(folder: Path) -> list[Path]:
    if (folder / "state.json").is_file():
        return list(text_source.load_arrow_source(folder).saved_files(folder))
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
        if len(splits) == 1:
            return _files_in(folder / splits[0])
        raise DataError(
            f"{folder}: holds the splits {', '.join(splits)}. Name one of them, such as {folder / splits[0]}."
        )
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and file_source.row_suffix(path) is not None
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name not in (INFO_NAME, "dataset_infos.json")
    )
    if not files:
        raise DataError(
            f"{folder}: has no file with rows. Files with rows end in {', '.join(file_source.SUFFIXES)}."
        )
    _require_one_type(files, str(folder))
    splits = sorted({word for path in files for word in _split_words(path.relative_to(folder))})
    if len(splits) > 1:
        raise DataError(
            f"{folder}: holds files of the splits {' and '.join(splits)}, which belong apart. "
            f"Name one with a pattern, such as '{folder}/*{splits[-1]}*'."
        )
    return files


def _require_one_type(files: list[Path], source: str) -> None:
    types = sorted({suffix for path in files if (suffix := file_source.row_suffix(path)) is not None})
    if len(types) > 1:
        raise DataError(
            f"{source}: holds files of the types {' and '.join(types)}. "
            f"Name one type with a pattern, such as '*{types[0]}'."
        )


def _split_words(path: Path) -> set[str]:
    words = "".join(char if char.isalpha() else " " for char in str(path).lower()).split()
    return {word for word in SPLIT_NAMES if word in words}


# ---------------------------------------------------------------- LLaMA-Factory's list of data sets


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON: {error}. Correct the file.") from error
    if not isinstance(entries, dict):
        raise DataError(f"{path}: is not an object of data sets. Correct the file.")
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def _open_entry(path: Path, name: str, read_hub: Callable[[str], Rows]) -> Source:
    entries = _entries(path)
    if name not in entries:
        raise DataError(f"{path}: has no data set {name}. It has {', '.join(entries) or 'none'}.")
    entry = Entry(f"{path}:{name}", entries[name])
    if entry.hub_name is not None:
        rows = entry.rename(read_hub(entry.hub_name))
        return Source(rows, entry.format, is_hub=True, num_samples=entry.num_samples)
    location = (path.parent / entry.file_name).resolve()
    if not location.is_relative_to(path.parent.resolve()):
        raise DataError(
            f"{path}:{name}: file_name {entry.file_name} lies outside the folder. Name the file itself."
        )
    files = files_of(str(location))
    rows = entry.rename(chain.from_iterable(map(file_source.read_file_rows, files)))
    return Source(rows, entry.format, num_samples=entry.num_samples)
