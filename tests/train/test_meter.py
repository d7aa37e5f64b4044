import dataclasses
import json
from pathlib import Path

from fairlead.store.project import create_project
from fairlead.store.run import open_run
from fairlead.train.meter import Meter, peak_rss_mb


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    name: str = "m"
    seed: int = 0


def test_each_flush_tells_what_came_since_the_last_one(tmp_path: Path) -> None:
    with open_run(create_project(tmp_path), "toy", Config(), kind="model", quiet=True) as run:
        meter = Meter(run)
        meter.count(3)
        meter.count(4)
        meter.flush()
        meter.flush()
        rows = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    costs = [row for row in rows if row["event"] == "cost"]
    assert [row["tokens"] for row in costs] == [7, 0]
    assert all(row["seconds"] >= 0 and row["peak_rss_mb"] > 10 for row in costs)


def test_the_peak_never_falls() -> None:
    before = peak_rss_mb()
    block = bytearray(b"x" * 30_000_000)
    after = peak_rss_mb()
    del block
    assert before <= after <= peak_rss_mb()
    assert 50 < after < 100_000  # MiB
