"""Cache computed tensors in the project's `cache` folder, under the digest of everything that they depend
on.

Each subfolder keeps at most `MAX_BYTES`: the files that were not used for the longest time are deleted.  A
file holds a checksum of its tensors, and a damaged one is computed again.  Several runs may use one cache.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fairlead.core import digest, files
from fairlead.store.run import Run

T = TypeVar("T")

MAX_BYTES = 4 * 1024**3  # of one subfolder
_CHECKSUM = "checksum"
_DAY_S = 86_400.0  # a temporary file of this age belongs to a process that was killed


class Damaged(Exception):
    """Stored tensors are not those that were computed."""


def cached(
    run: Run, what: str, key: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the cached tensors for `key`, or compute and cache them.

    `what` names the subfolder.
    """

    def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    return cached_as(run, what, key, lambda: pack(compute()), pack=pack, unpack=pack)


def cached_as(
    run: Run,
    what: str,
    key: Mapping[str, Any],
    compute: Callable[[], T],
    *,
    pack: Callable[[T], dict[str, Tensor]],
    unpack: Callable[[dict[str, Tensor]], T],
    max_bytes: int = MAX_BYTES,
) -> T:
    """`cached` for a value that `pack` turns into tensors and `unpack` restores or finds Damaged."""
    name = digest.of_json(dict(key)).partition(":")[2]
    event: dict[str, Any] = {"what": what, "digest": name[:10]}
    path = run.project.cache / what / f"{name}.safetensors"
    try:
        stored = _load(path)
        value = None if stored is None else unpack(stored)
    except (SafetensorError, OSError, Damaged):
        path.unlink(missing_ok=True)
    else:
        if value is not None:
            run.event("cache", **event | {"found": True})
            return value
    value = compute()
    tensors = pack(value)
    with files.atomic_file(path) as file:
        file.write(save({**tensors, _CHECKSUM: _checksum(tensors)}))
    limit_size(path.parent, max_bytes, keep=path)
    run.event("cache", **event | {"found": False})
    return value


def limit_size(folder: Path, max_bytes: int, *, keep: Path) -> None:
    """Delete the files that were not used for the longest time, except `keep`, and what killed runs left."""
    stats = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another run has just deleted it
            stat = path.stat()
            if path.suffix == ".safetensors" and path != keep:
                stats.append((stat.st_mtime, stat.st_size, path))
            elif path != keep and time.time() - stat.st_mtime > _DAY_S:
                path.unlink()
    size = keep.stat().st_size
    for _, num_bytes, path in sorted(stats, reverse=True):
        size += num_bytes
        if size > max_bytes:
            path.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, which is marked as used now; None if there is none."""
    try:
        os.utime(path)
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        return None
    checksum = tensors.pop(_CHECKSUM, None)
    if checksum is None or not torch.equal(checksum, _checksum(tensors)):
        raise Damaged
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> Tensor:
    """SHA-256 of names, types, shapes and contents.  [32]"""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(sha.digest()), dtype=torch.uint8)
