r"""Reward hacking in the toy world, with and without defences: gold against the KL from the initial policy.

run  python -m benchmarks.overoptimisation --seeds 0 1 2 3 4 --out build/overoptimisation \
         --json benchmarks/results/overoptimisation.json

The simulated raters (`FOND`) prefer good wishes and length more strongly than they dislike faults of manner.
A quarter of their labels are flipped, and only a third of the quickstart's pairs are judged.  PPO starts
from the SFT model and runs for the same number of steps in both arms:

plain       one reward model, no KL penalty
defended    an ensemble of four members with a length penalty, pooled as mean - variance; an adaptive KL
            penalty; and a probe that is only measured: the run rolls back to its best step when the probe
            falls, and stops

Best-of-n uses an unbiased estimate from 32 answers of the SFT model per prompt.  Gold is the rule that
nothing is trained on.  In `defended`, gold is also the probe, in place of a small set of trusted judgements.
Gains are over the SFT model, as in arXiv:2210.10760.  So are the curves: d (alpha - beta log d) for PPO and
d (alpha - beta d) for best-of-n, with d = sqrt(KL) and KL in nats per answer.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from benchmarks import over_seeds, toy_world
from fairlead.recipes import ppo, reward
from fairlead.simulate import campaign, raters
from fairlead.stats import best_of_n, interval
from fairlead.store.project import Project

FLIPPED = 0.25
FOND = [replace(rater, flourish_bias=1.2, length_bias=rater.length_bias + 0.5) for rater in raters.PANEL]
LABELS = (
    1 / 3
)  # share of the comparisons that is used; fewer labels make a reward model that is easier to exploit
STEPS = 45
SMOOTH = 5  # steps averaged, because the gold of a step is the mean of only 128 answers
MEMBERS = 4
LENGTH_PENALTY = 1.0
BEST_OF = 32
PROMPTS = 128  # of best-of-n
JUDGED = 448  # training prompts on which published models are evaluated, like the curves

PPO: dict[str, Any] = {
    "model": "model/sft",
    "steps": STEPS,
    "lr": 5e-4,
    "critic_lr": 7.5e-4,
    "checkpoints.every": 20,
}
ARMS: dict[str, dict[str, Any]] = {
    "plain": {"reward": "single", "kl_coef": 0.0},
    "defended": {
        "reward": "ensemble",
        "pool": "mean-variance",
        "pool_lambda": 0.5,
        "kl_coef": 0.1,
        "kl_target": 4.0,
        "kl_horizon": 1000,
        "probe_drop": 0.03,
        "patience": 3,
        "keep": "best",
    },
}


def main() -> None:
    args = over_seeds.arguments(__doc__, "build/overoptimisation").parse_args()
    over_seeds.prepare(args)
    results = over_seeds.each(args, one_seed)
    summary = summarise(list(results.values()))
    print(json.dumps(summary, indent=2))
    over_seeds.save(args, results, summary)


def one_seed(out: Path, seed: int) -> dict[str, Any]:
    home = toy_world.prepare(out, seed)
    labelled = toy_world.flipped(
        campaign.comparisons(toy_world.candidates(home), FOND, seed), FLIPPED, seed=seed
    )
    labels = toy_world.write(home, "fond", labelled[: int(LABELS * len(labelled))])
    for config in reward_configs(labels, seed):
        toy_world.train(home, reward, config)
    prompts = toy_world.few_prompts(home, "prompts-to-practise", JUDGED)
    start = mean_gold(home, "sft", prompts, seed)
    arms = {}
    for arm in ARMS:
        artifact = toy_world.train(home, ppo, ppo_config(arm, seed))
        arms[arm] = summarise_run(
            toy_world.curve(home, artifact),
            start=start,
            final=mean_gold(home, arm, prompts, seed),
            kl=toy_world.kl(home, arm, "sft"),
        )
    return {"arms": arms, "best_of_n": best_of_n_gold(home, seed)}


def reward_configs(labels: str, seed: int) -> list[reward.Config]:
    """The single reward model and the ensemble, trained on the same labels."""
    settings = toy_world.SETTINGS["reward"] | {"comparisons": labels, "seed": seed}
    defended = settings | {"members": MEMBERS, "length_penalty": LENGTH_PENALTY}
    return [
        toy_world.configure(reward.Config, name="single", **settings),
        toy_world.configure(reward.Config, name="ensemble", **defended),
    ]


def ppo_config(arm: str, seed: int) -> ppo.Config:
    """The configuration of one arm."""
    # The admission report refuses the reward model, because a quarter of its held-out labels are wrong.
    changes = PPO | ARMS[arm] | {"trust": ARMS[arm]["reward"]}
    settings = toy_world.SETTINGS["aligned"] | toy_world.full_keys(ppo.Config, changes)
    return toy_world.configure(ppo.Config, name=arm, seed=seed, **settings)


# ---------------------------------------------------------------- one run


def mean_gold(home: Project, model: str, prompts: str, seed: int) -> float:
    """Mean gold of a published model on fresh answers, which had no part in selecting the model."""
    golds = toy_world.first_golds(
        toy_world.answers(home, f"model/{model}", name=f"{model}-answers", seed=seed, prompts=prompts)
    )
    return sum(golds) / len(golds)


def summarise_run(rows: Sequence[dict[str, Any]], *, start: float, final: float, kl: float) -> dict[str, Any]:
    """Gold along a run, at its peak, at four times the peak's KL, and of the published model.

    Values along the run are means over SMOOTH steps.

    The peak is the maximum of noisy values and so biased upwards; this overstates the loss in every arm.
    """
    kls, golds = (moving(numpy.array([row[name] for row in rows if name in row])) for name in ("kl", "probe"))
    peak = int(golds.argmax())
    beyond = numpy.flatnonzero(kls[peak:] >= 4 * kls[peak])
    far = peak + int(beyond[0]) if len(beyond) else None
    return {
        "kl": [round(float(x), 4) for x in kls],
        "gold": [round(float(x), 4) for x in golds],
        "start": start,
        "peak": float(golds[peak]),
        "peak_kl": float(kls[peak]),
        "at_four_times": None if far is None else float(golds[far]),
        "lost_at_four_times": None if far is None else lost(golds[peak], golds[far], start),
        "final": final,
        "final_kl": kl,
        "lost_at_the_end": lost(golds[peak], final, start),
        "fit": fitted(numpy.sqrt(kls.clip(0)), golds - start, lambda d: d * numpy.log(d)),
    }


def lost(peak: float, later: float, start: float) -> dict[str, float]:
    """Lost share of the peak's gold, and of its gain over the start."""
    return {"of_gold": 1 - float(later / peak), "of_gain": 1 - float((later - start) / (peak - start))}


def moving(values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    return numpy.convolve(values, numpy.ones(SMOOTH) / SMOOTH, mode="valid")


def fitted(d: NDArray[numpy.float64], gain: NDArray[numpy.float64], bend: Any) -> dict[str, float] | None:
    """Least-squares fit of gain = alpha * d - beta * bend(d); None for fewer than five points."""
    usable = d > 0.05
    d, gain = d[usable], gain[usable]
    if len(d) < 5:
        return None
    design = numpy.stack([d, -bend(d)], axis=1)
    (alpha, beta), *_ = numpy.linalg.lstsq(design, gain, rcond=None)
    residual = gain - design @ numpy.array([alpha, beta])
    return {
        "alpha": float(alpha),
        "beta": float(beta),
        "r2": 1 - float((residual**2).sum() / ((gain - gain.mean()) ** 2).sum()),
    }


# ---------------------------------------------------------------- best-of-n


def best_of_n_gold(home: Project, seed: int) -> dict[str, Any]:
    """Gold of the best of n by the proxy, n = 1, 2, 4, ..., for the single model and for the ensemble."""
    rows = toy_world.answers(
        home,
        "model/sft",
        name="sft-many",
        seed=seed,
        prompts=toy_world.few_prompts(home, "prompts-held-out", PROMPTS),
        per_prompt=BEST_OF,
    )
    golds = numpy.array([toy_world.golds_of(row) for row in rows])
    results: dict[str, Any] = {}
    for name, pool in (("single", "mean"), ("ensemble", "mean-variance")):
        proxy = toy_world.scores(home, name, rows, pool=pool)
        sizes = [2**k for k in range(BEST_OF.bit_length())]
        scored_prompts = list(zip(proxy.tolist(), golds.tolist(), strict=True))
        means = [
            float(
                numpy.mean([best_of_n.expected_value(scores, n, worth) for scores, worth in scored_prompts])
            )
            for n in sizes
        ]
        distance = numpy.sqrt([best_of_n.kl(n) for n in sizes])
        fit = fitted(distance, numpy.array(means) - means[0], lambda d: d * d)
        results[name] = {"n": sizes, "gold": means, "d": distance.tolist(), "fit": fit}
    return results


# ---------------------------------------------------------------- all seeds


def summarise(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def over(values: Sequence[float]) -> dict[str, Any]:
        return interval.mean(values).as_dict()

    def each(arm: str, name: str) -> list[Any]:
        return [seed["arms"][arm][name] for seed in seeds]

    summary: dict[str, Any] = {}
    for arm in ARMS:
        reached = [x for x in each(arm, "lost_at_four_times") if x is not None]
        summary[arm] = {
            name: over(each(arm, name)) for name in ("start", "peak", "peak_kl", "final", "final_kl")
        }
        summary[arm]["reached_four_times"] = len(reached)
        for what in ("of_gold", "of_gain"):
            summary[arm][f"lost_at_four_times_{what}"] = over([x[what] for x in reached]) if reached else None
            summary[arm][f"lost_at_the_end_{what}"] = over([x[what] for x in each(arm, "lost_at_the_end")])
        fits = [fit["r2"] for fit in each(arm, "fit") if fit]
        summary[arm]["r2"] = over(fits) if fits else None
    ratios = [a / b for a, b in zip(each("defended", "final"), each("plain", "final"), strict=True)]
    summary["defended"]["final_over_plain"] = over(ratios)
    equal = [at_equal_kl(seed["arms"]["defended"], seed["arms"]["plain"]) for seed in seeds]
    summary["defended"]["gold_over_plain_at_equal_kl"] = over(equal)
    for name in ("single", "ensemble"):
        runs = [seed["best_of_n"][name] for seed in seeds]
        summary[f"best of n, {name}"] = {
            "gold": {n: over([run["gold"][i] for run in runs]) for i, n in enumerate(runs[0]["n"])},
            "r2": over([run["fit"]["r2"] for run in runs]),
        }
    return summary


def at_equal_kl(run: dict[str, Any], baseline: dict[str, Any]) -> float:
    """Mean difference in gold over KL values that both runs reach, each at its first crossing."""
    top = min(max(run["kl"]), max(baseline["kl"]))
    grid = numpy.linspace(0.3, math.sqrt(top), 20) ** 2
    return float(numpy.mean([first_at(run, kl) - first_at(baseline, kl) for kl in grid]))


def first_at(run: dict[str, Any], kl: float) -> float:
    return float(run["gold"][next(i for i, value in enumerate(run["kl"]) if value >= kl - 1e-9)])


if __name__ == "__main__":
    main()
