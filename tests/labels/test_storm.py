"""Labellers at once over HTTP, servers killed under them.  `benchmarks.studio_storm` is the same with 200 people and 10,000 leases."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_served_twice_when_servers_are_killed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    storm = pytest.importorskip("benchmarks.studio_storm")
    found = storm.storm(database_url, tmp_path, num_labellers=8, num_items=30, overlap=2, num_kills=2, seed=1)
    assert found["num_judgements"] == found["num_acknowledged"] == 60
    assert found["kills"] == 2
    assert {name: found[name] for name in storm.WRONG if found[name]} == {}
    assert found["num_leases"] >= 60
