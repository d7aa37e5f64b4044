"""SHA-256 digests of bytes, files and JSON values, written with the algorithm as prefix: `sha256:…`."""

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
    """Map the relative POSIX path of every file below `folder` to its digest, in sorted order.  Hidden files
    are skipped.
    """
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix(): of_file(folder / path)
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    }


def of_json(value: Any) -> str:
    """Digest of the value as canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return of_bytes(text.encode("utf-8"))


def short(digest: str) -> str:
    """First ten hexadecimal digits, for display and for names."""
    return digest.partition(":")[2][:10]
