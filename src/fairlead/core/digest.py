"""Content digests, always with the algorithm as prefix: `sha256:…`."""

import hashlib
import json
from pathlib import Path
from typing import Any


def of_bytes(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def of_files(folder: Path) -> dict[str, str]:
    """Relative POSIX path -> digest, for every file below `folder`, in sorted order; hidden files are left out."""
    found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix(): of_file(folder / path)
        for path in found
        if not any(part.startswith(".") for part in path.parts)
    }


def of_json(value: Any) -> str:
    """The digest of canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return of_bytes(text.encode("utf-8"))


def short(digest: str) -> str:
    """The first ten hexadecimal digits, for names and for people."""
    return digest.partition(":")[2][:10]
