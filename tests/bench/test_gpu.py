"""The GPU benchmark on a CPU with a tiny shape: it runs and counts right; its figures have no meaning."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return pytest.importorskip("benchmarks.gpu")  # type: ignore[no-any-return]


@pytest.mark.slow
def test_it_runs_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small", "--pairs", "none"]
    command += ["--measure", "2", "--out", str(tmp_path), "--json", str(tmp_path / "results.json")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, timeout=180, capture_output=True)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["device"] == "cpu" and results["rows"] == "made up" and results["rate"]["tflops"] > 0
    assert results["sft"]["backend"] == "packed"
    assert (
        results["sft"]["steps"] == 2
        and results["sft"]["tokens_per_s"] > 0
        and 0 < results["sft"]["share_of_rate"] < 1
    )
    assert [row["slots"] for row in results["sample"]] == [4] and results["sample"][0]["tokens_per_s"] > 0
    assert "peers" not in results


def test_rows_that_are_made_up_are_as_long_as_real_ones(gpu: ModuleType) -> None:
    pairs = gpu.made_up_pairs(1000)
    for side, middle in (("chosen", 21), ("rejected", 28)):  # words, the medians of the data
        lengths = [len(getattr(pair, side)[-1].content.split()) for pair in pairs]
        assert abs(statistics.median(lengths) / middle - 1) < 0.2
    assert pairs == gpu.made_up_pairs(1000)


def test_only_weights_that_tokens_pass_are_counted(gpu: ModuleType, tmp_path: Path) -> None:
    gpu.peers.make_model(tmp_path / "model", gpu.made_up_pairs(50), shape=gpu.SMALL)
    policy = gpu.load_policy(str(tmp_path / "model"))
    # per layer: q and o 64 x 64, k and v 64 x 32, three of 64 x 128; the head is the embedding, 64 a token
    assert gpu.matrix_weights(policy) == (
        2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128),
        64 * len(policy.tokenizer),
    )


def test_only_tokens_with_a_loss_pass_the_head(gpu: ModuleType, tmp_path: Path) -> None:
    pairs = gpu.made_up_pairs(50)
    gpu.peers.make_model(tmp_path / "model", pairs, shape=gpu.SMALL)
    policy = gpu.load_policy(str(tmp_path / "model"))
    answers = [
        len(policy.tokenizer(pair.chosen[-1].content, add_special_tokens=False)["input_ids"]) + 1
        for pair in pairs[:3]
    ]
    rows = [gpu.peers.as_row("sft", pair) for pair in pairs[:3]]
    assert gpu.trained_tokens(policy, rows, [2, 1]) == [answers[0] + answers[1], answers[2]]


def test_trl_gets_what_its_environment_has(gpu: ModuleType) -> None:
    assert gpu.best_settings("sft", set()) == {"gradient_checkpointing": False}
    with_flash = gpu.best_settings("sft", {"flash_attn", "liger_kernel", "kernels"})
    assert with_flash["padding_free"] and with_flash["use_liger_kernel"]
    assert with_flash["model"] == {"attn_implementation": "flash_attention_2"}
    assert (
        gpu.best_settings("dpo", {"kernels"})["model"]["attn_implementation"]
        == "kernels-community/flash-attn2"
    )
    assert gpu.best_settings("dpo", set())[
        "precompute_ref_log_probs"
    ] and "padding_free" not in gpu.best_settings("reward", {"flash_attn"})
