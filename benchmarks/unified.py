"""UFT in one stage against SFT followed by DPO, each tuned, at equal compute: gold score and forgetting.

run  python -m benchmarks.unified --tune                           # on seed 100; prints the best cells
     python -m benchmarks.unified --seeds 0 1 2 3 4 --out build/unified --json benchmarks/results/unified.json

All arms start from the base model and use the quickstart's demonstrations and comparisons of five families.
Three families (`KEPT`) are in neither file; the share of right answers to these measures retention.
Guesses, refusals and empty answers are faults of manner and are not counted.  Forgetting is the base model's
share minus the trained model's, in percentage points.

sequential  SFT over the demonstrations twice, then DPO over the comparisons once
uft         one stage over both, once
alternate   alternating SFT and DPO steps, as many in total as in the sequential arm

The cells of each arm (`GRID`) are compared by gold on separate prompts.  `TUNED` holds the best cells on
seed 100, which is not one of the reported seeds.
"""

import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import base_model, over_seeds, toy_world
from fairlead.core.config import from_dict
from fairlead.data.record_reader import read_demonstrations
from fairlead.data.records import Messages
from fairlead.model.policy import load_policy
from fairlead.recipes import alternate, dpo, sft, uft
from fairlead.simulate import campaign, world
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.project import Project

KEPT = ("fact", "sort", "sum")
PER_FAMILY = 400  # prompts per family of KEPT
COMMON: dict[str, Any] = {"rank": 0, "batch": 16}
GRID: dict[str, dict[str, tuple[float, ...]]] = {
    "sequential": {"sft_lr": (1e-4, 3e-4), "lr": (3e-5, 1e-4, 3e-4), "beta": (0.1, 0.3)},
    "uft": {"lr": (3e-4,), "beta": (0.03, 0.1, 0.3, 1.0), "demonstration_weight": (1.0, 4.0, 8.0)},
    "alternate": {"lr": (1e-4, 3e-4), "beta": (0.1, 0.3)},
}
TUNED: dict[str, dict[str, float]] = {
    "sequential": {"sft_lr": 3e-4, "lr": 1e-4, "beta": 0.3},
    "uft": {"lr": 3e-4, "beta": 0.03, "demonstration_weight": 8.0},
    "alternate": {"lr": 3e-4, "beta": 0.3},
}


def main() -> None:
    parser = over_seeds.arguments(__doc__, "build/unified")
    parser.add_argument("--arms", nargs="+", default=list(GRID))
    parser.add_argument("--tune", action="store_true", help="try every cell of each arm's grid on seed 100")
    args = parser.parse_args()
    over_seeds.prepare(args)
    if args.tune:
        print(json.dumps({arm: tune(args.out / "seed-100", arm) for arm in args.arms}, indent=2))
        return
    seeds = over_seeds.each(args, lambda out, seed: one_seed(out, seed, args.arms))
    summary = summarise([seed for seed in seeds.values() if all(arm in seed for arm in args.arms)], args.arms)
    print(json.dumps(summary, indent=2))
    over_seeds.save(args, seeds, summary)


def prepare(out: Path, seed: int) -> tuple[Project, dict[str, str]]:
    """The project, and the paths of its files with the five trained families."""
    home = toy_world.prepare(out, seed)
    [path] = (home.artifacts / "dataset" / "demonstrations").glob("*.jsonl")
    rows: dict[str, Sequence[Any]] = {
        "demonstrations": read_demonstrations(path),
        "comparisons": toy_world.comparisons(home),
    }
    return home, {
        name: toy_world.write(home, f"{name}-of-five", [row for row in part if not is_kept(row.prompt)])
        for name, part in rows.items()
    }


def is_kept(prompt: Messages) -> bool:
    task = world.parse_prompt(prompt[-1].content)
    return task is not None and task.family in KEPT


def trained(
    home: Project, files: dict[str, str], arm: str, cell: dict[str, float], seed: int
) -> tuple[Artifact, float]:
    """The model of one cell, and the CPU seconds of its training."""
    artifacts, seconds = [], 0.0
    for recipe, config in stages(files, arm, cell, seed):
        artifact, stage_seconds = timed(home, recipe, config)
        artifacts.append(artifact)
        seconds += stage_seconds
    return artifacts[-1], seconds


def stages(
    files: dict[str, str], arm: str, cell: dict[str, float], seed: int
) -> list[tuple[ModuleType, sft.Config | dpo.Config | uft.Config | alternate.Config]]:
    """The recipes of one arm in order, each with its configuration."""
    tag = "-".join([arm, *(f"{value:g}" for value in cell.values())]).replace("+", "")
    common = COMMON | {"seed": seed}
    if arm == "sequential":
        sft_name = f"sft-{cell['sft_lr']:g}"
        sft_settings = {
            "name": sft_name,
            "model": "base",
            "demonstrations": files["demonstrations"],
            "lr": cell["sft_lr"],
            "epochs": 2,
        }
        dpo_settings = {
            "name": tag,
            "model": f"model/{sft_name}",
            "comparisons": files["comparisons"],
            "lr": cell["lr"],
            "beta": cell["beta"],
        }
        return [
            (sft, from_dict(sft.Config, common | sft_settings)),
            (dpo, from_dict(dpo.Config, common | dpo_settings)),
        ]
    settings = common | {"name": tag, "model": "base"} | files | cell
    if arm == "uft":
        return [(uft, from_dict(uft.Config, settings))]
    sft_steps, dpo_steps = num_steps(files)
    num_all = sft_steps + dpo_steps
    steps = {"steps": num_all, "sft_share": sft_steps / num_all}
    return [(alternate, from_dict(alternate.Config, settings | steps))]


def timed(home: Project, recipe: Any, config: Any) -> tuple[Artifact, float]:
    began = time.process_time()
    artifact = toy_world.train(home, recipe, config)
    return artifact, toy_world.remembered(home, config.name, time.process_time() - began)


def num_steps(files: dict[str, str]) -> tuple[int, int]:
    """Number of SFT and DPO steps of the sequential arm, without the held-out tenth."""
    lines = {name: len(Path(path).read_text(encoding="utf-8").splitlines()) for name, path in files.items()}
    return 2 * int(0.9 * lines["demonstrations"]) // COMMON["batch"], int(
        0.9 * lines["comparisons"]
    ) // COMMON["batch"]


def tune(out: Path, arm: str) -> list[dict[str, Any]]:
    """Every cell with its gold on separate prompts, best first."""
    home, files = prepare(out, 100)
    tuning_prompts = [
        row for row in campaign.prompts(400, 100, purpose="tuning", held_out=False) if not is_kept(row.prompt)
    ]
    prompts = toy_world.write(home, "tuning", tuning_prompts)
    cells = []
    for values in itertools.product(*GRID[arm].values()):
        cell = dict(zip(GRID[arm], values, strict=True))
        artifact, seconds = trained(home, files, arm, cell, 100)
        rows = toy_world.answers(
            home, artifact.label, name=f"{artifact.manifest.name}-tuning", seed=100, prompts=prompts
        )
        golds = toy_world.first_golds(rows)
        ended = sum(row.finished[0] for row in rows) / len(rows)
        cells.append({**cell, "gold": sum(golds) / len(golds), "ended": ended, "seconds": seconds})
        print(arm, json.dumps(cells[-1]), flush=True)
    return sorted(cells, key=lambda cell_result: -cell_result["gold"])


def one_seed(out: Path, seed: int, arms: Sequence[str]) -> dict[str, Any]:
    home, files = prepare(out, seed)
    results: dict[str, Any] = {"base": {"remembers": remembers(str(home.artifacts / "model" / "base"), seed)}}
    for arm in arms:
        artifact, seconds = trained(home, files, arm, TUNED[arm], seed)
        answers = toy_world.answers(home, artifact.label, name=f"{arm}-answers", seed=seed)
        rows = [row for row in answers if not is_kept(row.prompt)]
        results[arm] = {
            "golds": toy_world.first_golds(rows),
            "ended": sum(row.finished[0] for row in rows) / len(rows),
            "remembers": remembers(str(artifact.folder), seed),
            "seconds": seconds,
            "cell": TUNED[arm],
        }
    return results


def remembers(folder: str, seed: int) -> float:
    """Share of right answers among attempted ones, mean over the families that were not trained on."""
    policy = load_policy(folder)
    counts = [
        base_model.right(
            policy, world.draw_prompts(seed, "remembered", PER_FAMILY, held_out=False, family=f), seed
        )
        for f in KEPT
    ]
    return sum(hits / n for hits, n in counts) / len(counts)


def summarise(seeds: Sequence[dict[str, Any]], arms: Sequence[str]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for arm in arms:
        means = [sum(seed[arm]["golds"]) / len(seed[arm]["golds"]) for seed in seeds]
        forgotten = [100 * (seed["base"]["remembers"] - seed[arm]["remembers"]) for seed in seeds]
        summary[arm] = {
            "gold": interval.mean(means).as_dict(),
            "ended": interval.mean([seed[arm]["ended"] for seed in seeds]).as_dict(),
            "forgotten_points": interval.mean(forgotten).as_dict(),
            "seconds": interval.mean([seed[arm]["seconds"] for seed in seeds]).as_dict(),
        }
        if arm != "sequential" and "sequential" in arms:
            rates = [
                interval.win_rate(seed[arm]["golds"], seed["sequential"]["golds"]).interval.value
                for seed in seeds
            ]
            saved = [100 * (seed[arm]["remembers"] - seed["sequential"]["remembers"]) for seed in seeds]
            lost = sum(seed["base"]["remembers"] - seed["sequential"]["remembers"] for seed in seeds)
            summary[arm] |= {
                "win_rate_over_sequential": interval.mean(rates).as_dict(),
                "remembered_more_points": interval.mean(saved).as_dict(),
                "forgetting_removed": sum(saved) / (100 * lost) if lost else None,
            }
    return summary


if __name__ == "__main__":
    main()
