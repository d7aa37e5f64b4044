"""Process-wide memory settings that speed up training on a CPU.

Both functions change the whole process and must run before torch allocates memory.  They do not change
results.
"""

import ctypes
import os
import sys

# parameters of mallopt, from malloc.h
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4
TOP_PAD = 256 << 20  # bytes by which malloc extends the heap at a time


def cache_onednn_primitives() -> None:
    """Enlarge oneDNN's cache of compiled kernels.  Call this before torch is imported.

    oneDNN compiles a bfloat16 matrix product for every new shape.  Padded batches have many shapes, so the
    default cache would evict and recompile kernels throughout a run.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")


def keep_freed_pages() -> bool:
    """Keep freed memory in the process instead of returning it to the kernel; returns whether this was
    possible.

    A training step frees and allocates the same hundreds of megabytes again and again.  By default glibc maps
    and unmaps each large block, and the kernel clears every page before it is used: up to half of a step's
    time.  Works with glibc on Linux only.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc, for example musl
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)
