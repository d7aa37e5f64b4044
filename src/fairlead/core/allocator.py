"""Keeping what would have to be made again: pages of memory, and matrix products that were prepared.

On Linux with glibc, pages that a training step gives back would be fetched from the kernel
again in the next.
"""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
TOP_PAD = 256 << 20  # bytes asked for at a time


def cache_onednn_primitives() -> None:
    """oneDNN prepares bfloat16 products anew for every shape; room for those of a whole run.  Before torch is imported."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")


def keep_freed_pages() -> bool:
    """Have malloc take every block from a heap that is never handed back; returns whether it could be set.

    A training step frees and takes the same hundreds of megabytes again and again.  By default glibc maps each large block freshly and
    unmaps it when it is freed, and the kernel clears every page before it is used: up to half of a step's time.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)
