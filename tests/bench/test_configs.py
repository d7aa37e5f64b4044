"""Every configuration that a benchmark builds is accepted by its recipe.  Nothing is trained."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fairlead.recipes import alternate, dpo, ppo, reward, sft, uft

ROOT = Path(__file__).parents[2]
LABELS = Path("labels.jsonl")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of benchmarks/ by name."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "peer_workers"))

    def load_module(name: str) -> ModuleType:
        return pytest.importorskip(name)  # type: ignore[no-any-return]

    return load_module


def test_limits(load: Any) -> None:
    limits = load("benchmarks.limits")
    trained = limits.role_config("sft", Path("work"), Path("rows.jsonl"), Path("prompts.jsonl"))
    assert isinstance(trained, sft.Config)
    assert trained.adapter.rank == 16 and trained.hardware.precision == "bfloat16"
    assert trained.data.held_out == 0.0
    rewarded = limits.role_config("ppo", Path("work"), Path("rows.jsonl"), Path("prompts.jsonl"))
    assert isinstance(rewarded, ppo.Config)
    assert rewarded.adapter.rank == 16 and rewarded.hardware.precision == "bfloat16"
    assert rewarded.steps == 3


def test_unified(load: Any, tmp_path: Path) -> None:
    unified = load("benchmarks.unified")
    files = {}
    for name in ("demonstrations", "comparisons"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("{}\n" * 400)
        files[name] = str(path)
    configs = {
        arm: [config for _, config in unified.stages(files, arm, cell, 0)]
        for arm, cell in unified.TUNED.items()
    }
    first, second = configs["sequential"]
    assert isinstance(first, sft.Config) and isinstance(second, dpo.Config)
    assert first.optim.lr == 3e-4 and second.optim.lr == 1e-4
    assert first.adapter.rank == second.adapter.rank == 0
    assert second.model == "model/sft-0.0003"
    assert isinstance(configs["uft"][0], uft.Config)
    # 400 rows less a tenth are 360: SFT 2 x 360 // 16 = 45 steps, DPO 360 // 16 = 22
    assert isinstance(configs["alternate"][0], alternate.Config)
    assert configs["alternate"][0].steps == 67


def test_rater_aware(load: Any) -> None:
    config = load("benchmarks.rater_aware").reward_config("aware", LABELS, True, 3)
    assert isinstance(config, reward.Config)
    assert config.rater_effects and config.optim.lr == 3e-4 and config.adapter.rank == 0


def test_reward_ceiling(load: Any) -> None:
    config = load("benchmarks.reward_ceiling").reward_config(LABELS, 3, 4)
    assert isinstance(config, reward.Config)
    assert config.name == "of-4" and config.optim.lr == 3e-4 and config.adapter.rank == 0


def test_overoptimisation(load: Any) -> None:
    overoptimisation = load("benchmarks.overoptimisation")
    single, ensemble = overoptimisation.reward_configs("labels.jsonl", 0)
    assert single.members == 1 and ensemble.members == 4 and ensemble.length_penalty == 1.0
    plain, defended = (overoptimisation.ppo_config(arm, 0) for arm in ("plain", "defended"))
    assert plain.checkpoints.every == 20 and plain.optim.lr == 5e-4 and plain.rewards.trust == "single"
    assert defended.guard.probe_drop == 0.03 and defended.guard.keep == "best"
    assert defended.rewards.pool == "mean-variance"


def test_methods(load: Any) -> None:
    methods = load("benchmarks.methods")
    for name, method in methods.METHODS.items():
        sources = {key: f"{key}.jsonl" for key in method.reads}
        config = methods.method_config(method, "label", sources, 0)
        assert isinstance(config, method.recipe.Config), name
    assert methods.learned_config("best", "rollouts/best", 0).adapter.rank == 0


@pytest.mark.parametrize("work", ["sft", "reward", "dpo", "ppo", "grpo"])
def test_peers(load: Any, work: str) -> None:
    job = {
        "work": work,
        "tag": "fp32-default",
        "model": "model",
        "batch": 16,
        "precision": "float32",
        "micro_tokens": 1024,
        "rows": "rows.jsonl",
        "home": "work",
    }
    ours = load("ours")
    config = ours.recipe_config(job)
    assert isinstance(config, ours.RECIPES[work].Config)
    assert config.optim.lr == 1e-5 and config.checkpoints.every == 10_000 and config.adapter.rank == 0
