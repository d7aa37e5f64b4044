"""Turn-taking of a worker: report a finished step on one pipe, wait for "go" on the other.

Both sides import this file, so it uses only the standard library.
"""

import ctypes
import json
import os
import resource
import sys
import time
from typing import Any


class Turns:
    """A turn is a fixed number of steps, timed from "go" to the last `done`."""

    def __init__(self, steps: int = 1) -> None:
        self.steps, self.num_done = steps, 0
        self.words = sys.stdin
        self.answers = sys.stdout
        sys.stdout = sys.stderr  # keeps output of libraries out of the answers
        self.went_at = 0.0

    def ready(self, **facts: Any) -> None:
        """Report that everything is loaded, and wait for the first turn."""
        self._answer(ready=True, **facts)
        self._wait()

    def done(self, **facts: Any) -> None:
        self.num_done += 1
        if self.num_done % self.steps:
            return
        seconds = time.monotonic() - self.went_at
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self._answer(**{"seconds": seconds, "peak_mb": peak, **facts})
        self._wait()

    def _wait(self) -> None:
        if self.words.readline().strip() != "go":
            self.answers.flush()
            sys.stderr.flush()
            os._exit(0)  # ends the process in the middle of the training loop
        self.went_at = time.monotonic()

    def _answer(self, **facts: Any) -> None:
        self.answers.write(json.dumps(facts) + "\n")
        self.answers.flush()


def keep_freed_pages() -> None:
    """Fairlead's allocator settings (glibc's malloc.h: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD)."""
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    for name, value in ((-4, 0), (-1, -1), (-2, 256 << 20)):
        assert mallopt(name, value) == 1
