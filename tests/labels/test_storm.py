"""Concurrent labellers over HTTP while servers are killed.

`benchmarks.studio_storm` runs the same with 200 labellers and 10,000 leases.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_killed_servers_lose_no_judgement_and_assign_no_item_twice(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    storm = pytest.importorskip("benchmarks.studio_storm")
    report = storm.storm(
        database_url, tmp_path, num_labellers=8, num_items=30, overlap=2, num_kills=2, seed=1
    )
    assert report["num_judgements"] == report["num_acknowledged"] == 60
    assert report["kills"] == 2
    assert {name: report[name] for name in storm.WRONG if report[name]} == {}
    assert report["num_leases"] >= 60
