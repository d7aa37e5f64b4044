r"""How close a reward model comes to the ceiling set by raters' disagreement, and how well it is calibrated.

run  python -m benchmarks.reward_ceiling --seeds 0 1 2 3 4 --out build/reward_ceiling \
         --json benchmarks/results/reward_ceiling.json

The five simulated raters of the quickstart judge pairs of different answers.  Their choice model is known: p
is the probability that a random rater prefers A, averaged over both display orders.  A predictor that always
picks the likelier answer is right in E[max(p, 1 - p)]: the Bayes ceiling.  The accuracy of a model is the
mean probability of the answers that it prefers.  Both are expectations, so the ratio has no label noise.
The expected calibration error compares stated probabilities with p in 15 bins of equal count.  The
temperature comes from the admission report, which fits it to prompts held out from training; the test
prompts are separate.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from benchmarks import over_seeds
from benchmarks.rater_aware import pairs
from fairlead.core.config import from_dict
from fairlead.data.record_writer import write_records
from fairlead.data.records import Message
from fairlead.examples.preferences import score_conversations
from fairlead.loop.toy_world import BASE_MODEL
from fairlead.model.reward_model import load_reward_model
from fairlead.recipes import reward
from fairlead.simulate import raters, world
from fairlead.simulate.raters import CandidateAnswers, SimulatedRater
from fairlead.stats import calibration, interval
from fairlead.store.project import create_project, load_project
from fairlead.store.run import open_run

Vector = NDArray[numpy.float64]

EACH = (1, 4)  # judged pairs per prompt
NUM_PROMPTS, NUM_TEST = 3000, 1000  # the toy world has about 4,200 prompts that are not held out
NUM_BINS = 15
SETTINGS: dict[str, Any] = {"rank": 0, "epochs": 2, "batch": 16, "lr": 3e-4}


def main() -> None:
    parser = over_seeds.arguments(__doc__, "build/reward_ceiling")
    parser.add_argument(
        "--each", type=int, nargs="+", default=list(EACH), help="numbers of judged pairs per prompt"
    )
    args = parser.parse_args()
    over_seeds.prepare(args)
    results = over_seeds.each(
        args, lambda out, seed: {str(each): one_seed(out, seed, each) for each in args.each}
    )
    summary = {
        str(each): summarise([seed[str(each)] for seed in results.values() if str(each) in seed])
        for each in args.each
    }
    print(json.dumps(summary, indent=2))
    over_seeds.save(args, results, summary | {"settings": SETTINGS})


def one_seed(root: Path, seed: int, each: int) -> dict[str, Any]:
    project = load_project(root) if root.exists() else create_project(root)
    pairs_of: dict[str, list[CandidateAnswers]] = {}  # by prompt
    for pair in pairs(NUM_TEST + NUM_PROMPTS, seed, each):
        pairs_of.setdefault(pair.prompt, []).append(pair)
    by_prompt = list(pairs_of.values())
    test, judged = (
        [those[0] for those in by_prompt[:NUM_TEST]],
        [pair for those in by_prompt[NUM_TEST:] for pair in those],
    )
    file = project.data / f"labels-{each}.jsonl"
    write_records(file, raters.label_pairs(judged, raters.PANEL, run_seed=seed))
    config = reward_config(file, seed, each)
    with open_run(project, "reward", config, kind=reward.KIND, quiet=True) as run:
        artifact = reward.main(config, run)
    admission = json.loads((artifact.folder / "admission.json").read_text(encoding="utf-8"))
    results = judge(margins(str(artifact.folder), test), test, admission["calibration"]["temperature"])
    results["pairs"] = len(judged)
    print(
        seed,
        each,
        json.dumps({name: round(value, 4) for name, value in results.items() if isinstance(value, float)}),
        flush=True,
    )
    return results


def reward_config(labels: Path, seed: int, each: int) -> reward.Config:
    """The configuration of the reward model that learns from `each` judged pairs per prompt."""
    settings = SETTINGS | {
        "name": f"of-{each}",
        "model": str(BASE_MODEL),
        "comparisons": str(labels),
        "seed": seed,
    }
    return from_dict(reward.Config, settings)


def margins(folder: str, test: Sequence[CandidateAnswers]) -> Vector:
    """Score of the first answer minus score of the second.  [pairs]"""
    texts = [
        (Message("user", item.prompt), Message("assistant", answer))
        for item in test
        for answer in item.answers
    ]
    scores = numpy.asarray(score_conversations(load_reward_model(folder), texts, 4096), dtype=numpy.float64)
    return scores[0::2] - scores[1::2]


def judge(margins: Vector, test: Sequence[CandidateAnswers], temperature: float) -> dict[str, Any]:
    p = numpy.array([preference(item, raters.PANEL) for item in test])
    known = numpy.maximum(p, 1 - p)
    agreed = numpy.where(margins > 0, p, 1 - p)
    families = [world.parse_prompt(item.prompt) for item in test]
    return {
        "accuracy": float(agreed.mean()),
        "ceiling": float(known.mean()),
        "of_ceiling": float(agreed.mean() / known.mean()),
        "ece": ece(margins, p, 1.0),
        "ece_calibrated": ece(margins, p, temperature),
        "temperature": temperature,
        "families": {
            name: [
                float(part[[task is not None and task.family == name for task in families]].mean())
                for part in (agreed, known)
            ]
            for name in sorted({task.family for task in families if task is not None})
        },
    }


def preference(pair: CandidateAnswers, panel: Sequence[SimulatedRater]) -> float:
    """Probability that the panel prefers the first answer, over both orders; ties are left out."""
    chances = []
    for rater in panel:
        a, b = (
            raters.utility(rater, pair.prompt, answer, finished=done)
            for answer, done in zip(pair.answers, pair.finished, strict=True)
        )
        if abs(a - b) >= rater.tie_width:
            thought = (
                raters.sigmoid(a - b + rater.first_bias) + raters.sigmoid(a - b - rater.first_bias)
            ) / 2
            chances.append((1 - rater.careless) * thought + rater.careless / 2)
    return sum(chances) / len(chances) if chances else 0.5


def ece(margins: Vector, p: Vector, temperature: float) -> float:
    """Weighted mean over bins of |mean stated confidence - mean probability that raters agree|."""
    stated = calibration.probabilities(numpy.abs(margins).tolist(), temperature)
    agreed = numpy.where(margins > 0, p, 1 - p)
    parts = numpy.array_split(numpy.argsort(stated, kind="stable"), NUM_BINS)
    return float(sum(len(part) * abs(stated[part].mean() - agreed[part].mean()) for part in parts) / len(p))


def summarise(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("accuracy", "ceiling", "of_ceiling", "ece", "ece_calibrated", "temperature")
    means = {name: interval.mean([seed[name] for seed in seeds]).as_dict() for name in names}
    families = {
        name: sum(seed["families"][name][0] for seed in seeds)
        / sum(seed["families"][name][1] for seed in seeds)
        for name in seeds[0]["families"]
    }
    return means | {"families_of_ceiling": families}


if __name__ == "__main__":
    main()
