"""Every method on the toy world at about equal compute: gain in gold score over the common SFT model.

run  python -m benchmarks.methods --seeds 0 1 2 3 4 --out build/methods --json benchmarks/results/methods.json

All methods of a seed start from the SFT model of the quickstart.  They use the same comparisons by simulated
raters, or the reward model trained on these comparisons, and the prompts of the quickstart's PPO.  Epochs,
steps and (for best-of-n) prompts are set so that each method takes about half as long as that PPO.  The cost
of the reward model is not counted, because one reward model serves many runs.  Gold is the mean over 448
held-out prompts, one answer each at temperature 1.  The gain is relative to the SFT model's answers to the
same prompts; its interval is Student's over the seeds.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import over_seeds, toy_world
from fairlead.data.records import Binary, Comparison
from fairlead.recipes import alternate, average, best_of_n, dpo, grpo, kto, ppo, reward, rounds, sft, uft
from fairlead.stats import interval
from fairlead.store.artifact import Artifact, load_artifact
from fairlead.store.project import Project

LONGEST = 64  # tokens of an answer
FULL: dict[str, Any] = {
    "rank": 0,
    "lr": 1e-4,
    "batch": 16,
}  # what the pages recommend for a model of this size
PAIRS, SHOWN = {"comparisons": "comparisons"}, {"demonstrations": "demonstrations"}


@dataclass(frozen=True)
class Method:
    """A recipe, the files that it reads, and what differs from its defaults."""

    recipe: Any
    reads: dict[str, str]  # configuration key -> name of the source in `one_seed`
    settings: dict[str, Any]


def direct(**settings: Any) -> Method:
    return Method(dpo, PAIRS, {**FULL, "epochs": 1, **settings})


def rewarded(recipe: Any, **settings: Any) -> Method:
    return Method(
        recipe,
        {"reward": "reward", "prompts": "prompts"},
        {"rank": 0, "lr": 2e-4, "max_new_tokens": LONGEST, **settings},
    )


METHODS: dict[str, Method] = {
    "SFT, longer": Method(sft, SHOWN, {**FULL, "epochs": 8}),
    "DPO": direct(),
    "cDPO": direct(flip_rate=0.1),
    "robust DPO": direct(loss="robust", flip_rate=0.1),
    "IPO": direct(loss="ipo"),
    "hinge": direct(loss="hinge"),
    "SimPO": direct(loss="simpo", lr=3e-5),
    "ORPO": direct(loss="orpo"),
    "DPO + NLL": direct(nll_weight=1.0),
    "KTO": Method(kto, {"binary": "binary"}, {**FULL, "epochs": 1}),
    "UFT": Method(uft, SHOWN | PAIRS, {**FULL, "epochs": 1, "beta": 0.1}),
    "alternate": Method(alternate, SHOWN | PAIRS, {**FULL, "steps": 150}),
    "best of 4, then SFT": Method(
        best_of_n, {"reward": "reward", "prompts": "half of the prompts"}, {"n": 4, "max_new_tokens": LONGEST}
    ),
    "PPO": rewarded(ppo, steps=12, critic_lr=3e-4, epochs=1, minibatches=4, kl_coef=0.1),
    "GRPO": rewarded(grpo, steps=24, minibatches=2),
    "RLOO": rewarded(grpo, steps=24, minibatches=2, baseline="leave-one-out"),
    "REINFORCE++": rewarded(grpo, steps=24, minibatches=2, baseline="batch"),
    "rounds of DPO": Method(
        rounds,
        {"reward": "reward", "prompts": "a quarter of the prompts"},
        {
            "rounds": 2,
            "max_new_tokens": LONGEST,
            "train": tuple(f"{name}={value}" for name, value in FULL.items()),
        },
    ),
    "SFT and DPO, averaged": Method(average, {"a": "SFT", "b": "DPO"}, {}),
}


def main() -> None:
    parser = over_seeds.arguments(__doc__, "build/methods")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="methods to run")
    args = parser.parse_args()
    over_seeds.prepare(args)
    seeds = over_seeds.each(args, lambda out, seed: one_seed(out, seed, args.methods))
    now = {name: plain(METHODS[name].settings) for name in args.methods}
    whole = [
        seed
        for seed in seeds.values()
        if all(name in seed and seed[name].get("settings") == now[name] for name in now)
    ]
    print(table(whole, args.methods))


def one_seed(out: Path, seed: int, names: Sequence[str]) -> dict[str, Any]:
    home = toy_world.prepare(out, seed)
    toy_world.train(
        home,
        reward,
        toy_world.configure(reward.Config, name="reward", **(toy_world.SETTINGS["reward"] | {"seed": seed})),
    )
    sources = {
        "demonstrations": "dataset/demonstrations",
        "comparisons": "dataset/comparisons",
        "binary": toy_world.write(home, "binary", thumbs(toy_world.comparisons(home))),
        "reward": "reward-model/reward",
        "prompts": "dataset/prompts-to-practise",
        "half of the prompts": toy_world.few_prompts(home, "prompts-to-practise", 1000),
        "a quarter of the prompts": toy_world.few_prompts(home, "prompts-to-practise", 500),
        "SFT": "model/sft",
        "DPO": "model/dpo",
    }
    start = toy_world.first_golds(toy_world.answers(home, "model/sft", name="sft-answers", seed=seed))
    results: dict[str, Any] = {"SFT": {"gold": sum(start) / len(start)}}
    for name in names:
        method = METHODS[name]
        artifact, seconds = trained(
            home, name, method, {field: sources[source] for field, source in method.reads.items()}, seed
        )
        label = artifact.manifest.name
        golds = toy_world.first_golds(
            toy_world.answers(home, f"model/{label}", name=f"{label}-answers", seed=seed)
        )
        gain = [after - before for after, before in zip(golds, start, strict=True)]
        rate = interval.win_rate(golds, start).interval
        results[name] = {
            "gold": sum(golds) / len(golds),
            "gain": interval.mean(gain).as_dict(),
            "win_rate": rate.as_dict(),
            "kl": toy_world.kl(home, label, "sft"),
            "seconds": seconds,
            "settings": plain(method.settings),
        }
        print(
            seed,
            name,
            json.dumps({key: round(results[name][key], 3) for key in ("gold", "kl", "seconds")}),
            flush=True,
        )
    return results


def trained(
    home: Project, name: str, method: Method, sources: dict[str, str], seed: int
) -> tuple[Artifact, float]:
    label = name.lower().replace(",", "").replace(" ", "-").replace("+", "p")
    config = method_config(method, label, sources, seed)
    began = time.process_time()
    artifact = toy_world.train(home, method.recipe, config)
    if method.recipe is rounds:
        artifact = load_artifact(home.artifacts / artifact.manifest.metrics["newest"])
    if method.recipe is best_of_n:  # whose answers are learned from in a second run
        artifact = toy_world.train(home, sft, learned_config(label, artifact.label, seed))
    return artifact, toy_world.remembered(home, label, time.process_time() - began)


def method_config(method: Method, label: str, sources: dict[str, str], seed: int) -> Any:
    """The configuration of the method's recipe; every method but averaging starts from the SFT model."""
    start = {} if method.recipe is average else {"model": "model/sft"}
    return toy_world.configure(
        method.recipe.Config, name=label, seed=seed, **start, **sources, **method.settings
    )


def learned_config(label: str, demonstrations: str, seed: int) -> sft.Config:
    """SFT on the answers that best-of-n selected."""
    return toy_world.configure(
        sft.Config,
        name=f"{label}-learned",
        model="model/sft",
        demonstrations=demonstrations,
        seed=seed,
        **FULL,
        epochs=2,
    )


def plain(settings: dict[str, Any]) -> Any:
    """The settings after a round trip through JSON."""
    return json.loads(json.dumps(settings))


def thumbs(comparisons: Sequence[Comparison]) -> list[Binary]:
    """Comparisons as binary labels: chosen up, rejected down; a tie gives both answers the same label."""
    by_answer: dict[tuple[Any, Any], Binary] = {}
    for comparison in comparisons:
        for answer, good in (
            (comparison.chosen, comparison.tie != "bad"),
            (comparison.rejected, comparison.tie == "good"),
        ):
            by_answer.setdefault((comparison.prompt, answer), Binary(comparison.prompt, answer, good))
    return list(by_answer.values())


def table(seeds: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Markdown table, best method first; brackets hold 95 % intervals over the seeds."""
    rows = []
    for name in names:
        gains = [seed[name]["gold"] - seed["SFT"]["gold"] for seed in seeds]
        gain = interval.mean(gains)
        golds, rates, kls, times = ([of(seed[name]) for seed in seeds] for of in _COLUMNS)
        mean = [sum(column) / len(column) for column in (golds, rates, kls, times)]
        wins = f"{sum(g > 0 for g in gains)} of {len(gains)}"
        cells = f"{mean[0]:.3f} | {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] | {wins}"
        rows.append((mean[0], f"| {name} | {cells} | {mean[1]:.3f} | {mean[2]:.2f} | {mean[3]:.0f} |"))
    head = (
        "| method | gold | gain over SFT | gains in | win rate | KL | CPU s |\n|---|---|---|---|---|---|---|"
    )
    start = sum(seed["SFT"]["gold"] for seed in seeds) / len(seeds)
    return "\n".join(
        [head, *(row for _, row in sorted(rows, reverse=True)), f"| SFT | {start:.3f} | | | | | |"]
    )


_COLUMNS = (
    lambda result: result["gold"],
    lambda result: result["win_rate"]["value"],
    lambda result: result["kl"],
    lambda result: result["seconds"],
)


if __name__ == "__main__":
    main()
