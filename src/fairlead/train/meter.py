"""Record the cost of a run in its events: seconds, tokens and peak memory.

Times are not metrics: a resumed run reproduces its metrics byte for byte.
"""

import resource
import sys
import time

from fairlead.store.run import Run


class Meter:
    """Counts tokens and time since the last `flush`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.started_at = time.monotonic()
        self.tokens = 0

    def count(self, tokens: int) -> None:
        self.tokens += tokens

    def flush(self) -> None:
        """Write the cost since the last flush as an event."""
        now = time.monotonic()
        self.run.event(
            "cost",
            seconds=round(now - self.started_at, 3),
            tokens=self.tokens,
            peak_rss_mb=round(peak_rss_mb(), 1),
        )
        self.started_at, self.tokens = now, 0


def peak_rss_mb() -> float:
    """Peak resident memory of this process in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
