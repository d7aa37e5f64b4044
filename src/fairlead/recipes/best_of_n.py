"""Best of n: answer every prompt n times, let a reward say which answer is best, and keep that one to learn from.

reads   prompts, a policy, a reward      writes  dataset: demonstrations.jsonl, comparisons.jsonl, answers.jsonl
run     fairlead train best-of-n name=best model=sft reward=reward prompts=data/prompts.jsonl n=16

It trains nothing.  `fairlead train sft demonstrations=dataset/best` learns from the best answers (rejection sampling; arXiv:2304.06767),
`fairlead train dpo comparisons=dataset/best` from the best beside the worst.  The n answers to a prompt also say without bias what the best
of fewer would be worth (arXiv:2112.09332): `by_n`, beside the KL that it costs.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fairlead.core import files, jsonl
from fairlead.core.config import DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, require
from fairlead.core.progress import progress
from fairlead.core.seed import derive_rng
from fairlead.data.record_reader import read_prompts
from fairlead.data.record_writer import write_records
from fairlead.data.records import Comparison, Demonstration, Message, Messages
from fairlead.examples.pairs import encode_prompts
from fairlead.model.policy import Policy, load_policy
from fairlead.ops.pool_names import Pool
from fairlead.rollout.engine import Engine, LocalEngine, sample_rollouts
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.rewards import open_reward, verify_reward_backend
from fairlead.stats import best_of_n, interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.admission_gate import check_admission
from fairlead.train.meter import Meter

KIND = "dataset"
ANSWERS_AT_ONCE = 256  # between two moments at which work is saved, the bar moves and Ctrl-C is heard


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the dataset that is written
    model: ModelRef  # that answers: usually the SFT model
    reward: RewardModelRef  # a reward model, or a function score(prompt, answer, finished): "rule:FILE.py" or "rule:MODULE"
    prompts: DatasetRef  # native rows with a prompt
    probe: RewardModelRef = (
        ""  # a second judge that is only measured, and chooses nothing; the same choices as reward
    )
    trust: str = ""  # name of the reward model to use although its admission report refuses it
    pool: Pool = "mean"  # an ensemble's score: mean, worst (the lowest member), mean-variance (mean - pool_lambda * variance)
    pool_lambda: float = 0.5  # price of the members' variance
    n: int = 16  # answers to each prompt
    max_new_tokens: int = 128  # longest answer
    temperature: float = 1.0  # of the sampling; the KL of by_n is from the policy at this temperature
    min_score: float | None = (
        None  # an answer below this score is not kept, even where it is the best; None keeps it
    )
    rejected: Literal["worst", "random"] = (
        "worst"  # which answer stands beside the best one in comparisons: the worst, or any lower one
    )
    micro_tokens: int = 4096  # tokens per forward pass of a reward model; memory, not results
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.n > 0, "n", self.n, "must be positive")
        require(self.max_new_tokens > 0, "max_new_tokens", self.max_new_tokens, "must be positive")
        require(
            self.temperature > 0,
            "temperature",
            self.temperature,
            "must be positive; at 0 all n answers would be the same",
        )
        require(self.pool_lambda >= 0, "pool_lambda", self.pool_lambda, "must not be negative")
        require(self.micro_tokens > 0, "micro_tokens", self.micro_tokens, "must be positive")


@dataclass(frozen=True)
class Scored:
    """One prompt and its n answers."""

    prompt: Messages
    texts: tuple[str, ...]
    finished: tuple[bool, ...]
    scores: tuple[float, ...]  # by the reward
    probe_scores: tuple[float, ...]  # empty without a probe


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model, prompts, reward
    check_admission(run, ["reward"], trust=config.trust)
    policy = load_policy(run.model_path("model"))
    engine = open_engine(policy)
    prompts = [prompt.prompt for prompt in read_prompts(run.data_path("prompts"))]
    encoded = encode_prompts(policy, prompts, max_new_tokens=config.max_new_tokens, source=config.prompts)
    sampling = SamplingParams(max_new_tokens=config.max_new_tokens, temperature=config.temperature)
    judges = [
        open_reward(
            run.model_path(field),
            micro_tokens=config.micro_tokens,
            prepare=lambda judge: verify_reward_backend(run, judge, prompts, "float32"),
            pool=config.pool,
            pool_lambda=config.pool_lambda,
        )
        for field in ("reward", "probe")
        if getattr(config, field)
    ]

    # 2. Sample and score; every answer has a random seed of its own, and every part is on the disk before the next one begins
    meter = Meter(run)
    parts_folder = run.folder / "answers"
    files.remove_leftovers(parts_folder)
    scored: list[Scored] = []
    at_once = max(1, ANSWERS_AT_ONCE // config.n)  # prompts
    starts = range(0, len(prompts), at_once)
    with progress("best-of-n", len(starts), quiet=run.quiet) as bar:
        for start in starts:
            path = parts_folder / f"{start:08d}.jsonl"
            chosen = range(start, min(start + at_once, len(prompts)))
            if not path.exists():
                run.stop.raise_if_set(
                    f"Stopped after {start} of {len(prompts)} prompts; the same command goes on there."
                )
                tokens = [encoded[i] for i in chosen for _ in range(config.n)]
                rows = range(start * config.n, start * config.n + len(tokens))
                request = SampleRequest(prompts=tokens, params=sampling, seed=config.seed, row_ids=rows)
                rollouts = sample_rollouts(engine, policy, request)
                asked = [prompts[i] for i in chosen for _ in range(config.n)]
                texts, finished = (
                    [policy.text(r.tokens) for r in rollouts],
                    [r.finished for r in rollouts],
                )
                scores = [judge(asked, texts, finished).tolist() for judge in judges]
                jsonl.write(
                    path,
                    (
                        row_of(prompts[i], k * config.n, config.n, texts, finished, scores)
                        for k, i in enumerate(chosen)
                    ),
                )
                meter.count(sum(len(rollout.tokens) for rollout in rollouts))
            scored += [
                read_scored(prompts[i], row) for i, (_, row) in zip(chosen, jsonl.read(path), strict=True)
            ]
            bar.advance()
    meter.flush()

    # 3. What the best of 1, 2, 4, ... n is worth, as a mean over prompts
    by_n: dict[str, Any] = {}
    for n in sorted({*(2**k for k in range(config.n.bit_length())), config.n}):
        found = {"score": [best_of_n.expected_value(one.scores, n) for one in scored]}
        if config.probe:
            found["probe"] = [best_of_n.expected_value(one.scores, n, one.probe_scores) for one in scored]
        by_n[str(n)] = {"kl": best_of_n.kl(n)} | {
            name: interval.mean(values).as_dict() for name, values in found.items()
        }

    # 4. Choose: the best answer that ended, each prompt and answer once, and one that scored lower
    demonstrations: dict[Demonstration, None] = {}  # in the order of the prompts
    comparisons: list[Comparison] = []
    left_out: Counter[str] = Counter()
    for number, one in enumerate(scored):
        ended = [i for i in range(config.n) if one.finished[i] and one.texts[i]]
        if not ended:
            left_out["unfinished"] += 1
            continue
        best = max(ended, key=lambda i: one.scores[i])
        if config.min_score is not None and one.scores[best] < config.min_score:
            left_out["below_min_score"] += 1
            continue
        demonstration = Demonstration(one.prompt, (Message("assistant", one.texts[best]),))
        if demonstration in demonstrations:
            left_out["repeated"] += 1
            continue
        demonstrations[demonstration] = None
        lower = [i for i in ended if one.scores[i] < one.scores[best] and one.texts[i] != one.texts[best]]
        if lower:
            drawn = derive_rng(config.seed, "rejected", number).choice(lower)
            rejected = drawn if config.rejected == "random" else min(lower, key=lambda i: one.scores[i])
            comparisons.append(
                Comparison(one.prompt, demonstration.completion, (Message("assistant", one.texts[rejected]),))
            )
    if not demonstrations:
        why = ", ".join(f"{name} {count}" for name, count in left_out.items())
        raise DataError(
            f"{config.name}: no answer was kept ({why} of {len(scored)} prompts). Raise max_new_tokens, or lower min_score."
        )

    # 5. Write
    def fill(folder: Path) -> None:
        write_records(folder / "demonstrations.jsonl", demonstrations)
        if comparisons:
            write_records(folder / "comparisons.jsonl", comparisons)
        jsonl.write(
            folder / "answers.jsonl",
            (row for path in sorted(parts_folder.glob("*.jsonl")) for _, row in jsonl.read(path)),
        )

    best_ties = [Counter(one.scores)[max(one.scores)] > 1 for one in scored]
    metrics = {
        "score": interval.mean(
            [math.fsum(one.scores) / config.n for one in scored]
        ).as_dict(),  # of a single answer
        "best_score": interval.mean([max(one.scores) for one in scored]).as_dict(),
        "by_n": by_n,
        "prompts": len(scored),
        "demonstrations": len(demonstrations),
        "comparisons": len(comparisons),
        **{name: left_out[name] for name in ("unfinished", "below_min_score", "repeated")},
        "finished_frac": sum(sum(one.finished) for one in scored) / (len(scored) * config.n),
        "tied_frac": sum(best_ties) / len(scored),
    }
    return run.publish(fill, metrics=metrics)


def row_of(
    prompt: Messages,
    first: int,
    n: int,
    texts: Sequence[str],
    finished: Sequence[bool],
    scores: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """A prompt's answers from number `first` on, as `fairlead sample` writes them, with their scores."""
    mine = slice(first, first + n)
    row: dict[str, Any] = {
        "prompt": [{"role": message.role, "content": message.content} for message in prompt],
        "completions": [[{"role": "assistant", "content": text}] for text in texts[mine]],
        "finished": list(finished[mine]),
        "scores": list(scores[0][mine]),
    }
    if len(scores) > 1:
        row["probe_scores"] = list(scores[1][mine])
    return row


def read_scored(prompt: Messages, row: dict[str, Any]) -> Scored:
    texts = tuple(completion[0]["content"] for completion in row["completions"])
    return Scored(
        prompt, texts, tuple(row["finished"]), tuple(row["scores"]), tuple(row.get("probe_scores", ()))
    )
