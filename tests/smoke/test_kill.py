"""Real processes, killed and stopped; what they leave in the end equals the uninterrupted run bit for bit.

Children come from a fork server that has imported the recipes, because importing torch takes longer than all
else here.
"""

import functools
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import digest, jsonl
from fairlead.recipes import reward
from fairlead.store import lineage
from fairlead.store.artifact import MANIFEST, load_artifact
from fairlead.store.project import load_project
from fakes import project_with_base, train, train_in_child

pytestmark = pytest.mark.slow

RECIPES = ("pretrain", "sft", "reward", "process_reward", "dpo", "kto", "uft", "alternate", "ppo", "grpo")
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(
    [
        *(f"fairlead.recipes.{name}" for name in RECIPES),
        "transformers.models.llama.modeling_llama",
    ]
)

COMMON: dict[str, Any] = {"name": "made", "model": "base", "warmup": 2, "seed": 1}
SPLIT = {"batch": 4, "epochs": 3, "held_out": 0.2, "measure_every": 7, "checkpoints.every": 4}
PAIRS = SPLIT | {"comparisons": "data/comparisons.jsonl"}
PPO = {
    "prompts": "data/prompts.jsonl",
    "steps": 14,
    "batch": 12,
    "epochs": 2,
    "minibatches": 2,
    "max_new_tokens": 8,
    "kl_target": 0.5,
    "kl_horizon": 200,
    "checkpoints.every": 3,
}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "pretrain": (
        "pretrain",
        {
            "documents": "data/demonstrations.jsonl",
            "steps": 14,
            "batch": 6,
            "optimizer": "muon",
            "checkpoints.every": 4,
        },
    ),
    "sft": (
        "sft",
        {
            "demonstrations": "data/demonstrations.jsonl",
            "batch": 4,
            "epochs": 3,
            "checkpoints.every": 4,
            "rank": 4,
        },
    ),
    "pure 8-bit sft": (
        "sft",
        {
            "demonstrations": "data/demonstrations.jsonl",
            "batch": 4,
            "epochs": 3,
            "checkpoints.every": 4,
            "rank": 0,
        }
        | {"precision": "pure-bfloat16", "bits": 8},
    ),
    "sft with all it can": (
        "sft",
        {
            "demonstrations": "data/demonstrations.jsonl",
            "batch": 4,
            "epochs": 6,
            "checkpoints.every": 4,
            "rank": 4,
            "lr": 0.03,
        }
        | {"held_out": 0.2, "measure_every": 3, "patience": 3, "neftune_alpha": 5.0}
        | {"replay": "data/earlier.jsonl", "replay_share": 0.1},
    ),
    "reward": ("reward", PAIRS | {"rank": 0}),
    "ensemble with raters": (
        "reward",
        PAIRS
        | {
            "comparisons": "data/signed.jsonl",
            "rank": 4,
            "members": 2,
            "rater_effects": True,
            "ties": "learn",
        },
    ),
    "process reward": ("process_reward", SPLIT | {"stepwise": "data/stepwise.jsonl", "rank": 4}),
    "dpo": ("dpo", PAIRS | {"rank": 4}),
    "4-bit dpo": ("dpo", PAIRS | {"rank": 4, "base_bits": 4}),
    "full dpo": ("dpo", PAIRS | {"rank": 0}),
    "orpo": ("dpo", PAIRS | {"rank": 4, "loss": "orpo"}),
    "kto": ("kto", SPLIT | {"binary": "data/binary.jsonl", "rank": 4}),
    "uft": (
        "uft",
        PAIRS
        | {
            "demonstrations": "data/demonstrations.jsonl",
            "binary": "data/binary.jsonl",
            "ratings": "data/ratings.jsonl",
        }
        | {"rank": 4, "epochs": 1, "batch": 8},
    ),
    "alternate": (
        "alternate",
        {
            "demonstrations": "data/demonstrations.jsonl",
            "comparisons": "data/comparisons.jsonl",
            "steps": 20,
            "batch": 4,
        }
        | {"held_out": 0.2, "measure_every": 7, "checkpoints.every": 4, "rank": 0},
    ),
    "ppo": ("ppo", PPO | {"reward": "judge", "trust": "judge", "rank": 0}),
    "ppo with drafts": (
        "ppo",
        PPO | {"reward": "rule:data/vowels.py", "rank": 0, "reuse_rollouts": True},
    ),
    "adapter ppo": ("ppo", PPO | {"reward": "rule:data/vowels.py", "rank": 4}),
    "grpo": (
        "grpo",
        {
            "prompts": "data/prompts.jsonl",
            "steps": 14,
            "batch": 12,
            "group": 3,
            "epochs": 2,
            "max_new_tokens": 8,
            "checkpoints.every": 3,
        }
        | {"reward": "rule:data/vowels.py", "rank": 4},
    ),
    "guarded ppo": (
        "ppo",
        PPO
        | {
            "reward": "rule:data/vowels.py",
            "rank": 4,
            "lr": 5e-3,
            "critic_warmup": 2,
            "ptx.data": "data/demonstrations.jsonl",
            "ptx.batch": 4,
        }
        | {
            "constraints": {"rule:data/vowels.py": 0.5},
            "centre_reward": True,
            "kl_budget": 0.3,
            "on_breach": "continue",
        }
        | {"probe": "rule:data/vowels.py", "keep": "best"},
    ),
    "guarded grpo": (
        "grpo",
        {
            "prompts": "data/prompts.jsonl",
            "steps": 14,
            "batch": 12,
            "group": 3,
            "max_new_tokens": 8,
            "checkpoints.every": 3,
            "lr": 5e-3,
        }
        | {
            "reward": "rule:data/vowels.py",
            "rank": 0,
            "kl_budget": 0.3,
            "on_breach": "continue",
            "constraint_lr": 1.0,
        }
        | {"constraints": {"rule:data/vowels.py": 0.5}, "probe": "rule:data/vowels.py", "keep": "best"},
    ),
    "pure adapter ppo": (
        "ppo",
        PPO | {"reward": "rule:data/vowels.py", "rank": 4, "precision": "pure-bfloat16"},
    ),
}


def train_with_slow_renames(root: str, recipe: str, settings: dict[str, Any]) -> None:
    """`train_in_child`, in which a complete folder keeps its temporary name long enough to be seen."""
    rename = os.rename

    def rename_slowly(source: Any, target: Any) -> None:
        time.sleep(0.1)
        rename(source, target)

    os.rename = rename_slowly  # type: ignore[assignment]  # only in the child
    train_in_child(root, recipe, settings)


def start(
    root: Path, recipe: str, settings: dict[str, Any], *, target: Callable[..., None] = train_in_child
) -> ForkServerProcess:
    child = CHILDREN.Process(target=target, args=(str(root), recipe, COMMON | settings))
    child.start()
    return child


def finish(root: Path, recipe: str, settings: dict[str, Any]) -> None:
    child = start(root, recipe, settings)
    child.join(timeout=120)
    assert child.exitcode == 0


def signal_when(
    child: ForkServerProcess, condition: Callable[[], bool], number: signal.Signals
) -> int | None:
    """Send the signal as soon as the condition holds; returns how the child ended."""
    deadline = time.monotonic() + 120
    while not condition():
        assert child.is_alive(), f"ended with {child.exitcode} before the signal"
        assert time.monotonic() < deadline
        time.sleep(0.0003)
    assert child.pid is not None
    os.kill(child.pid, number)
    child.join(timeout=120)
    return child.exitcode


def run_folder(root: Path) -> Path | None:
    return next((folder for folder in (root / "runs").iterdir() if "-made-" in folder.name), None)


def num_rows(root: Path) -> int:
    folder = run_folder(root)
    try:
        return (folder / "metrics.jsonl").read_bytes().count(b"\n") if folder else 0
    except FileNotFoundError:  # not yet there, or removed by a child that begins again
        return 0


def leftovers(root: Path) -> list[Path]:
    """Folders that are being written now, or were when their writer died."""
    folder = run_folder(root)
    checkpoints = list((folder / "checkpoints").glob(".step-*.part-*")) if folder else []
    return checkpoints + list((root / "artifacts").glob("*/.made.part-*"))


def two_projects(tmp_path: Path, recipe: str, settings: dict[str, Any]) -> tuple[Path, Path]:
    """The same project twice, in the first of which the recipe has run without interruption."""
    whole, other = tmp_path / "whole", tmp_path / "other"
    made = project_with_base(whole)
    jsonl.write(made.data / "earlier.jsonl", [{"text": "The sky is blue. " * (1 + i % 4)} for i in range(12)])
    rows = [row for _, row in jsonl.read(made.data / "comparisons.jsonl")]
    signed = [
        row | {"rater": ("ann", "bob")[i % 2]} | ({"tie": "bad"} if i % 5 == 0 else {})
        for i, row in enumerate(rows)
    ]
    jsonl.write(made.data / "signed.jsonl", signed)
    if settings.get("reward") == "judge":
        train(made, reward, **COMMON | PAIRS | {"name": "judge", "epochs": 1, "rank": 0})
    shutil.copytree(whole, other)
    finish(whole, recipe, settings)
    return whole, other


def check_equal(whole: Path, other: Path) -> None:
    """Weights, optimizer state, controllers' numbers and metrics, byte for byte; and the lineage is whole."""
    one, two = run_folder(whole), run_folder(other)
    assert one is not None and two is not None and one.name == two.name
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    assert digest.of_files(one / "checkpoints") == digest.of_files(two / "checkpoints") != {}
    if (
        one / "best"
    ).exists():  # the resumed run may have kept more of its best steps until its last checkpoint
        assert digest.of_files(one / "best").items() <= digest.of_files(two / "best").items()
    (folder,) = (path for path in (whole / "artifacts").glob("*/made"))
    twin = other / folder.relative_to(whole)
    assert [
        file for file, sha in digest.of_files(folder).items() if digest.of_files(twin).get(file) != sha
    ] in ([], [MANIFEST])
    assert load_artifact(folder).manifest.digest == load_artifact(twin).manifest.digest
    assert lineage.verify(load_project(other), None).problems == []
    assert leftovers(other) == []


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_random_steps(tmp_path: Path, name: str) -> None:
    recipe, settings = RUNS[name]
    whole, other = two_projects(tmp_path, recipe, settings)
    total = num_rows(whole)
    assert total >= 14
    rng = random.Random(name)
    died_at = []
    for step in sorted(rng.sample(range(1, total - 3), 3)):
        child = start(other, recipe, settings)
        reached = functools.partial(lambda wanted: num_rows(other) >= wanted, step)
        assert signal_when(child, reached, signal.SIGKILL) == -signal.SIGKILL
        died_at.append(num_rows(other))
    assert all(0 < step < total for step in died_at)
    finish(other, recipe, settings)
    check_equal(whole, other)


@pytest.mark.parametrize("place", ["checkpoints", "artifacts"])
def test_killed_while_writing(tmp_path: Path, place: str) -> None:
    recipe, settings = RUNS["reward"]
    whole, other = two_projects(tmp_path, recipe, settings)
    found_half = 0
    for _ in range(
        4
    ):  # the kill may find the folder while files are written, or complete but not yet renamed
        child = start(other, recipe, settings, target=train_with_slow_renames)
        before = set(leftovers(other))
        began_writing = functools.partial(
            lambda seen: any(place in p.parts for p in set(leftovers(other)) - seen), before
        )
        code = signal_when(child, began_writing, signal.SIGKILL)
        assert code == -signal.SIGKILL
        found_half += any(place in path.parts for path in leftovers(other))
        if found_half == 2:
            break
    assert found_half > 0
    finish(other, recipe, settings)
    check_equal(whole, other)


@pytest.mark.parametrize("name", ["dpo", "ppo"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_with_a_checkpoint_and_resumed(tmp_path: Path, name: str, number: signal.Signals) -> None:
    recipe, settings = RUNS[name]
    settings = settings | {
        "checkpoints.every": 1000
    }  # so that the only checkpoints are those of stopping and of the end
    whole, other = two_projects(tmp_path, recipe, settings)
    for step in (2, 6):
        child = start(other, recipe, settings)
        has_reached_step = functools.partial(lambda step: num_rows(other) >= step, step)
        assert signal_when(child, has_reached_step, number) == 130
        folder = run_folder(other)
        assert folder is not None
        made = num_rows(other)
        assert step <= made < num_rows(whole)
        assert [path.name for path in (folder / "checkpoints").iterdir()] == [
            f"step-{made:08d}"
        ]  # nothing was lost
    finish(other, recipe, settings)
    folder = run_folder(other)
    assert folder is not None
    events = [row["event"] for _, row in jsonl.read(folder / "events.jsonl")]
    assert events.count("resumed") == 2
    check_equal(whole, other)
