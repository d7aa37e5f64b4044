"""What a run cost: seconds and tokens, summed over processes that were stopped and resumed.

Times go to the run's events and never to its metrics, which a resumed run reproduces byte for byte.
"""

import resource
import sys
import time

from fairlead.store.run import Run


class Meter:
    """Counts since the last `flush`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.started_at = time.monotonic()
        self.tokens = 0

    def count(self, tokens: int) -> None:
        self.tokens += tokens

    def flush(self) -> None:
        now = time.monotonic()
        self.run.event(
            "cost",
            seconds=round(now - self.started_at, 3),
            tokens=self.tokens,
            peak_rss_mb=round(peak_rss_mb(), 1),
        )
        self.started_at, self.tokens = now, 0


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
