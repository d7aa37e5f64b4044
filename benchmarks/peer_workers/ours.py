"""Fairlead's side: the recipe itself, paused after each step.  Started by `benchmarks.peers`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384"
)  # as `fairlead` does when it starts, before torch is imported
import torch
from turns import Turns

from fairlead.core import jsonl
from fairlead.core.allocator import keep_freed_pages
from fairlead.core.config import from_dict
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import new_reward_model
from fairlead.recipes import dpo, grpo, ppo, reward, sft
from fairlead.rollout import sampler
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.store.project import create_project, load_project
from fairlead.store.run import Run, open_run

RECIPES = {"sft": sft, "reward": reward, "dpo": dpo, "ppo": ppo, "grpo": grpo}
RULE = """def score(prompt, answer, finished):
    return answer.count('e') / max(1, len(answer))
"""


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    keep_freed_pages()  # as `fairlead` does when it starts
    turns = Turns(job["window"])
    if job["work"] == "sample":
        sample(job, turns)
    else:
        train(job, turns)


def train(job: dict[str, Any], turns: Turns) -> None:
    home = Path(job["home"])
    project = load_project(home) if (home / "fairlead.toml").exists() else create_project(home)
    recipe = RECIPES[job["work"]]
    config = recipe_config(job)
    if job["work"] == "ppo" and not (home / "judge").exists():
        new_reward_model(job["model"], run_seed=0).save(home / "judge")
    if job["work"] == "grpo":
        (home / "rule.py").write_text(RULE)
    log = Run.log
    first = True

    def log_and_wait(run: Run, step: int, **values: float) -> None:
        nonlocal first
        log(run, step, **values)
        if first:
            turns.ready()
            first = False
        else:
            turns.done(loss=values.get("loss", values.get("policy_loss")), **on_device(job))

    Run.log = log_and_wait  # type: ignore[method-assign]
    with open_run(project, job["work"], config, kind=recipe.KIND, quiet=True) as run:
        recipe.main(config, run)


def recipe_config(job: dict[str, Any]) -> Any:
    """The configuration of the job's recipe."""
    home = Path(job["home"])
    common = {
        "name": f"{job['work']}-{job['tag']}",
        "model": job["model"],
        "batch": job["batch"],
        "rank": 0,
        "lr": 1e-5,
        "precision": job["precision"],
        "micro_tokens": job["micro_tokens"],
        "checkpoints.every": 10_000,
    }
    if job["work"] == "ppo":
        special = {
            "reward": str(home / "judge"),
            "prompts": job["rows"],
            "steps": 1000,
            "epochs": 4,
            "max_new_tokens": 64,
            "critic_lr": 1e-5,
        }
    elif job["work"] == "grpo":
        special = {
            "reward": f"rule:{home / 'rule.py'}",
            "prompts": job["rows"],
            "steps": 1000,
            "group": 4,
            "max_new_tokens": 64,
            "kl_coef": 0.0,
        }
    else:
        data = "demonstrations" if job["work"] == "sft" else "comparisons"
        special = {data: job["rows"], "held_out": 0.01, "epochs": 50, "measure_every": 10_000}
    return from_dict(RECIPES[job["work"]].Config, common | special)


def on_device(job: dict[str, Any]) -> dict[str, float]:
    """On a GPU: wait for pending work, and report the peak of device memory."""
    if job["device"] == "cpu":
        return {}
    torch.cuda.synchronize()
    return {"peak_mb": torch.cuda.max_memory_allocated() / 2**20}


def sample(job: dict[str, Any], turns: Turns) -> None:
    policy = load_policy(job["model"])
    rows = [row for _, row in jsonl.read(Path(job["rows"]))]
    first = True
    for index in range(10_000):
        part = [rows[(index * job["batch"] + k) % len(rows)] for k in range(job["batch"])]
        prompts, limits = [row["tokens"] for row in part], [row["limit"] for row in part]
        with torch.autocast(job["device"], torch.bfloat16, enabled=job["precision"] == "bfloat16"):
            rollouts = sampler.sample(
                policy.network,
                SampleRequest(prompts=prompts, params=SamplingParams(max_new_tokens=max(limits)), seed=index),
                stop_ids=frozenset(),
                pad_id=policy.pad_id,
                max_lengths=limits,
                num_slots=job["slots"],
            )
        tokens = sum(len(rollout.tokens) for rollout in rollouts)
        if first:
            turns.ready()
            first = False
        else:
            turns.done(tokens=tokens, **on_device(job))


if __name__ == "__main__":
    main()
