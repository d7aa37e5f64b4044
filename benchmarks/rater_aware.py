r"""How much of the loss from unreliable raters a rater-aware reward model recovers.

run  python -m benchmarks.rater_aware --seeds 0 1 2 3 4 --out build/rater_aware \
         --json benchmarks/results/rater_aware.json

Ten simulated raters judge answers in the toy world; three are nearly random and one is adversarial.  Three
reward models learn from the same labels with the same settings: naive (trusts every label), aware
(`rater_effects`), and oracle (random labels removed and adversarial labels reversed).  Accuracy is agreement
with the gold rule on pairs of unlabelled prompts.  The result is (aware - naive) / (oracle - naive), as a
ratio of means over seeds, with Fieller's 95 % interval.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import over_seeds
from fairlead.core.config import from_dict
from fairlead.core.seed import derive_rng
from fairlead.data.record_writer import write_records
from fairlead.data.records import Comparison, Message
from fairlead.examples.preferences import score_conversations
from fairlead.loop.toy_world import BASE_MODEL
from fairlead.model.reward_model import load_reward_model
from fairlead.recipes import reward
from fairlead.simulate import answer_writer, gold, raters, world
from fairlead.simulate.raters import CandidateAnswers, SimulatedRater
from fairlead.stats import interval
from fairlead.store.project import Project, create_project, load_project
from fairlead.store.run import open_run

PANEL = (
    *(SimulatedRater(name=f"careful {k}", tie_width=0.0) for k in range(6)),
    *(SimulatedRater(name=f"random {k}", tie_width=0.0, careless=0.9) for k in range(3)),
    SimulatedRater(name="adversary", tie_width=0.0, adversary=True),
)
NUM_LABELS, NUM_TEST = 2400, 600
SETTINGS: dict[str, Any] = {"rank": 0, "epochs": 2, "batch": 16, "lr": 3e-4}


def main() -> None:
    parser = over_seeds.arguments(__doc__, "build/rater_aware")
    parser.add_argument("--labels", type=int, default=NUM_LABELS)
    args = parser.parse_args()
    over_seeds.prepare(args)
    results = over_seeds.each(args, lambda out, seed: one_seed(out, seed, args.labels))
    print("| seed | naive | aware | oracle |\n|---|---|---|---|")
    for seed, accuracies in results.items():
        print(
            f"| {seed} | {accuracies['naive']:.3f} | {accuracies['aware']:.3f} | {accuracies['oracle']:.3f} |"
        )
    gap, gained = (
        [accuracies[arm] - accuracies["naive"] for accuracies in results.values()]
        for arm in ("oracle", "aware")
    )
    recovered, points = interval.ratio(gained, gap), 100 * sum(gap) / len(gap)
    print(
        f"recovered {recovered.value:.0%} ({recovered.low:.0%} to {recovered.high:.0%}) "
        f"of a mean gap of {points:.1f} points"
    )
    summary = {
        "recovered": recovered.as_dict(),
        "gained": interval.mean(gained).as_dict(),
        "settings": SETTINGS,
    }
    over_seeds.save(args, results, summary)


def one_seed(root: Path, seed: int, num_labels: int) -> dict[str, Any]:
    """Accuracy of each arm, and the aware arm's estimates of the raters.  Finished arms are reused."""
    project = load_project(root) if root.exists() else create_project(root)
    candidate_pairs = pairs(num_labels + NUM_TEST, seed)
    labels, test = (
        raters.label_pairs(candidate_pairs[NUM_TEST:], PANEL, run_seed=seed),
        candidate_pairs[:NUM_TEST],
    )
    write_records(project.data / "labels.jsonl", labels)
    write_records(project.data / "oracle-labels.jsonl", relabelled(labels))
    results: dict[str, Any] = {"labels": num_labels}
    for arm, file, rater_effects in (
        ("naive", "labels", False),
        ("aware", "labels", True),
        ("oracle", "oracle-labels", False),
    ):
        config = reward_config(arm, project.data / f"{file}.jsonl", rater_effects, seed)
        results[arm], metrics = trained(project, config, test)
        if rater_effects:
            results["raters"] = metrics["raters"]
    return results


def reward_config(name: str, labels: Path, rater_effects: bool, seed: int) -> reward.Config:
    """The configuration of one reward model; only labels and `rater_effects` differ between the arms."""
    settings = SETTINGS | {
        "name": name,
        "model": str(BASE_MODEL),
        "comparisons": str(labels),
        "rater_effects": rater_effects,
        "seed": seed,
    }
    return from_dict(reward.Config, settings)


def pairs(count: int, seed: int, each: int = 1) -> list[CandidateAnswers]:
    """Two answers with different gold scores to each of `count` prompts, `each` times."""
    candidates = []
    for task in world.draw_prompts(seed, "rater aware", count, held_out=False):
        rng = derive_rng(seed, "rater aware", task.text)
        for _ in range(each):
            for _ in range(20):  # some prompts rarely get answers with different scores
                answers = (
                    answer_writer.write_answer(task, answer_writer.WILD, rng),
                    answer_writer.write_answer(task, answer_writer.WILD, rng),
                )
                if gold_score(task.text, answers[0]) != gold_score(task.text, answers[1]):
                    candidates.append(CandidateAnswers(task.text, answers, (True, True)))
                    break
    return candidates


def gold_score(prompt: str, answer: str) -> float:
    return gold.judge(prompt, answer).score


def relabelled(labels: Sequence[Comparison]) -> list[Comparison]:
    """The oracle's labels: random labels removed, adversarial labels reversed."""
    believed = [label for label in labels if not str(label.rater).startswith("random")]
    return [
        replace(label, chosen=label.rejected, rejected=label.chosen) if label.rater == "adversary" else label
        for label in believed
    ]


def trained(
    project: Project, config: reward.Config, test: Sequence[CandidateAnswers]
) -> tuple[float, dict[str, Any]]:
    with open_run(project, "reward", config, kind=reward.KIND) as run:
        artifact = reward.main(config, run)
    model = load_reward_model(str(artifact.folder))
    texts = [
        (Message("user", item.prompt), Message("assistant", answer))
        for item in test
        for answer in item.answers
    ]
    scores = score_conversations(model, texts, 4096)
    right = [
        (scores[2 * i] > scores[2 * i + 1])
        == (gold_score(item.prompt, item.answers[0]) > gold_score(item.prompt, item.answers[1]))
        for i, item in enumerate(test)
    ]
    return sum(right) / len(right), artifact.manifest.metrics


if __name__ == "__main__":
    main()
