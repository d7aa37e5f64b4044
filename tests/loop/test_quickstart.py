"""The whole loop, small: what it writes, and that a killed one ends with the same bits."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.core import digest
from fairlead.core.errors import ProjectError
from fairlead.core.seed import derive_rng
from fairlead.loop.quickstart import quickstart
from fairlead.store import lineage
from fairlead.store.project import load_project

SMALL = "Size(demonstrations=48, compared=96, practised=48, held_out=24, ppo_steps=4, ppo_batch=16)"
SCRIPT = f"""
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from fairlead.loop.quickstart import Size, quickstart
quickstart(Path(sys.argv[1]), seed=3, size={SMALL}, quiet=True)
"""

pytestmark = pytest.mark.slow


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.DEVNULL)


def weights(out: Path) -> dict[str, str]:
    """Every weight and optimiser file of a project, by its place in it."""
    return {str(path.relative_to(out)): digest.of_file(path) for path in sorted(out.rglob("*.safetensors"))}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    out = tmp_path_factory.mktemp("quickstart") / "whole"
    began = time.monotonic()
    assert start(out).wait() == 0
    return out, time.monotonic() - began


def test_the_summary_has_every_figure_of_the_contract(uninterrupted: tuple[Path, float]) -> None:
    out, _ = uninterrupted
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert set(summary) == {
        "seconds",
        "peak_rss_mb",
        "reward_model",
        "gold",
        "win_rate_vs_sft",
        "kl",
        "report",
    }
    assert set(summary["reward_model"]) == {"accuracy", "low", "high", "n", "length_only"}
    assert set(summary["gold"]) == {"base", "sft", "aligned"}
    for figures in summary["gold"].values():
        assert figures["low"] <= figures["mean"] <= figures["high"] and figures["n"] == 24
    rate = summary["win_rate_vs_sft"]
    assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1 and rate["n"] == 24
    assert (out / summary["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_every_digest_of_the_round_holds(uninterrupted: tuple[Path, float]) -> None:
    assert lineage.verify(load_project(uninterrupted[0]), None).problems == []


def test_another_seed_in_the_same_folder_is_refused_in_words_of_the_command(
    uninterrupted: tuple[Path, float],
) -> None:
    with pytest.raises(
        ProjectError, match="holds a quickstart with --seed 3, not --seed 4. Choose another --out"
    ):
        quickstart(uninterrupted[0], seed=4, quiet=True, say=lambda text: None)


def test_killed_several_times_it_ends_with_the_same_weights(
    uninterrupted: tuple[Path, float], tmp_path: Path
) -> None:
    whole, took = uninterrupted
    killed = tmp_path / "killed"
    rng = derive_rng(11, "kill")
    for _ in range(4):
        process = start(killed)
        try:
            process.wait(timeout=took * rng.uniform(0.25, 0.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert start(killed).wait() == 0
    assert weights(killed) == weights(whole)
    assert any("optimizer" in name for name in weights(whole)), "optimiser states are among what was compared"
