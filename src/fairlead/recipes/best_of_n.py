"""Best of n: sample n answers to every prompt, and keep the answer that a reward scores highest.

reads   prompts, a policy, a reward      writes  dataset: demonstrations.jsonl, comparisons.jsonl,
answers.jsonl run     fairlead train best-of-n name=best model=sft reward=reward prompts=data/prompts.jsonl
n=16

This recipe does not train.  `fairlead train sft demonstrations=dataset/best` trains on the best answers
(rejection sampling; arXiv:2304.06767), `fairlead train dpo comparisons=dataset/best` on the best answers
beside lower ones.  `by_n` estimates without bias the score of the best of fewer answers (arXiv:2112.09332),
beside its KL.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fairlead.core import files, jsonl
from fairlead.core.config import Advanced, DatasetRef, ModelRef, RewardModelRef
from fairlead.core.errors import DataError, require, require_positive
from fairlead.core.plural import counted
from fairlead.core.progress import progress
from fairlead.core.seed import derive_rng
from fairlead.data.record_reader import read_prompts
from fairlead.data.record_writer import write_records
from fairlead.data.records import Comparison, Demonstration, Message, Messages, Prompt, carried, to_row
from fairlead.examples.prompts import fit_prompts
from fairlead.model.policy import Policy
from fairlead.ops.pool_names import Pool
from fairlead.rollout.engine import Engine, LocalEngine, sample_rollouts
from fairlead.rollout.readable import PromptTrial
from fairlead.rollout.records import Answer, SampleRequest, SamplingParams
from fairlead.rollout.reward_mix import open_judge
from fairlead.stats import best_of_n, interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train import diagnostics
from fairlead.train.admission_gate import check_admission
from fairlead.train.meter import Meter
from fairlead.train.settings import AnswersPrompts, ReadsConversations, Scoring
from fairlead.train.setup import open_policy

KIND = "dataset"
ANSWERS_PER_PART = 256  # a part is written before the next begins, so a stopped run loses one part at most


@dataclass(frozen=True, kw_only=True)
class Config(ReadsConversations, AnswersPrompts):
    name: str  # name of the dataset that is written
    model: ModelRef  # the model that answers: usually the SFT model
    # a reward model, a function score(prompt, answer, finished) as rule:FILE.py or rule:MODULE, or a judge
    # behind an endpoint as llm:FILE.toml
    reward: RewardModelRef
    prompts: DatasetRef  # native rows with a prompt
    probe: RewardModelRef = ""  # a second reward that is measured and selects nothing; values as for reward
    trust: Advanced[str] = ""  # name of the reward model to use although its admission report refuses it
    # score of an ensemble: mean, worst (lowest member), or mean-variance (mean - pool_lambda * variance)
    pool: Advanced[Pool] = "mean"
    pool_lambda: Advanced[float] = 0.5  # weight of the variance in mean-variance
    n: int = 16  # answers per prompt
    max_new_tokens: int = 128  # longest answer
    temperature: float = 1.0  # sampling temperature; the KL in by_n is from the policy at this temperature
    min_score: float | None = None  # drop prompts whose best answer scores lower; None keeps all
    # the lower answer of a comparison: the worst, or a random one that scores lower than the best
    rejected: Literal["worst", "random"] = "worst"
    micro_tokens: Advanced[int] = 4096  # tokens per forward pass of a reward model; does not change results
    seed: int = 0  # seed of sampling and of random rejected answers
    scoring: Scoring = Scoring()

    def __post_init__(self) -> None:
        require_positive(self, "n", "max_new_tokens", "micro_tokens")
        why = "must be positive; at 0 all n answers would be equal"
        require(self.temperature > 0, "temperature", self.temperature, why)
        require(self.pool_lambda >= 0, "pool_lambda", self.pool_lambda, "must not be negative")


@dataclass(frozen=True)
class ScoredAnswers:
    """One prompt and its n answers."""

    prompt: Prompt
    texts: tuple[str, ...]
    finished: tuple[bool, ...]
    scores: tuple[float, ...]  # by the reward
    probe_scores: tuple[float, ...]  # empty without a probe
    unreadable: tuple[int, ...] = ()  # positions of answers that the reward could not read

    @property
    def best_score(self) -> float:
        return max(self.scores)


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model, prompts, rewards
    check_admission(run, ["reward"], trust=config.trust)
    policy = open_policy(run, config)  # it answers, and nothing is trained
    engine = open_engine(policy)
    every_record = read_prompts(run.data_path("prompts"))
    length = config.max_new_tokens
    fitted = fit_prompts(
        policy, every_record, config.too_long, max_new_tokens=length, source=config.prompts, run=run
    )
    run.record_data(fitted.left_out, prompts=len(fitted.records))
    records, encoded = fitted.records, fitted.encoded
    prompts = [record.prompt for record in records]
    params = SamplingParams(max_new_tokens=config.max_new_tokens, temperature=config.temperature)
    trial = PromptTrial(
        records,
        max_new_tokens=config.max_new_tokens,
        scoring=config.scoring,
        source=config.prompts,
        drops_long=config.too_long == "drop",
    )
    rewards = [
        open_judge(
            run,
            role,
            trial=trial,
            micro_tokens=config.micro_tokens,
            pool=config.pool,
            pool_lambda=config.pool_lambda,
            scoring=config.scoring,
        )
        for role in ("reward", "probe")
        if role in run.inputs
    ]
    readable_ids = trial.finish(run)
    records = [records[i] for i in readable_ids]
    prompts = [prompts[i] for i in readable_ids]
    encoded = [encoded[i] for i in readable_ids]

    # 2. Sample and score, part by part.  Every answer has its own random numbers, so parts do not change
    # results
    meter = Meter(run)
    parts_folder = run.folder / "answers"
    files.remove_leftovers(parts_folder)
    answers: list[ScoredAnswers] = []
    part_size = max(1, ANSWERS_PER_PART // config.n)  # prompts
    starts = range(0, len(prompts), part_size)
    with progress("best-of-n", len(starts), quiet=run.quiet) as bar:
        for start in starts:
            path = parts_folder / f"{start:08d}.jsonl"
            prompt_ids = range(start, min(start + part_size, len(prompts)))
            if not path.exists():
                run.stop.raise_if_set(
                    f"Stopped after {start} of {counted(len(prompts), 'prompt')}. "
                    "Run the same command to continue."
                )
                repeated_ids = [prompt_id for prompt_id in prompt_ids for _ in range(config.n)]
                request = SampleRequest(
                    prompts=[encoded[prompt_id] for prompt_id in repeated_ids],
                    params=params,
                    seed=config.seed,
                    row_ids=range(start * config.n, start * config.n + len(repeated_ids)),
                )
                rollouts = sample_rollouts(engine, policy, request)
                texts = [policy.text(rollout.tokens) for rollout in rollouts]
                finished = [rollout.finished for rollout in rollouts]
                to_score = [
                    Answer(records[prompt_id], text, has_finished, number=readable_ids[prompt_id] + 1)
                    for prompt_id, text, has_finished in zip(repeated_ids, texts, finished, strict=True)
                ]
                judged = [reward(to_score) for reward in rewards]
                scores = [by_reward.values.tolist() for by_reward in judged]
                rows = []
                for index, prompt_id in enumerate(prompt_ids):
                    columns_of_prompt = slice(index * config.n, (index + 1) * config.n)
                    probe_scores = tuple(scores[1][columns_of_prompt]) if len(scores) > 1 else ()
                    rows.append(
                        ScoredAnswers(
                            records[prompt_id],
                            tuple(texts[columns_of_prompt]),
                            tuple(finished[columns_of_prompt]),
                            tuple(scores[0][columns_of_prompt]),
                            probe_scores,
                            tuple(judged[0].unreadable[columns_of_prompt].nonzero().flatten().tolist()),
                        )
                    )
                jsonl.write(path, (answers_to_row(row) for row in rows))
                meter.count(sum(len(rollout.tokens) for rollout in rollouts))
            stored = zip(prompt_ids, jsonl.read(path), strict=True)
            answers += [row_to_answers(records[prompt_id], row) for prompt_id, (_, row) in stored]
            bar.advance()
    meter.flush()

    # 3. The expected score of the best of 1, 2, 4, ... n, as a mean over prompts
    by_n: dict[str, Any] = {}
    for n in sorted({*(2**k for k in range(config.n.bit_length())), config.n}):
        expected = {"score": [best_of_n.expected_value(row.scores, n) for row in answers]}
        if config.probe:
            expected["probe"] = [best_of_n.expected_value(row.scores, n, row.probe_scores) for row in answers]
        by_n[str(n)] = {"kl": best_of_n.kl(n)} | {
            name: interval.mean(values).as_dict() for name, values in expected.items()
        }

    # 4. Select the best finished answer of each prompt, and one that scored lower; drop repeated rows
    demonstrations: dict[tuple[Messages, str], Demonstration] = {}  # a dict keeps the order of the prompts
    comparisons: list[Comparison] = []
    dropped: Counter[str] = Counter()
    for number, row in enumerate(answers):
        finished_ids = [
            i for i in range(config.n) if row.finished[i] and row.texts[i] and i not in row.unreadable
        ]
        if not finished_ids:
            dropped["unfinished"] += 1
            continue
        best = max(finished_ids, key=lambda i: row.scores[i])
        if config.min_score is not None and row.scores[best] < config.min_score:
            dropped["below_min_score"] += 1
            continue
        key = (row.prompt.prompt, row.texts[best])
        if key in demonstrations:
            dropped["repeated"] += 1
            continue
        columns = carried(row.prompt)
        chosen = (Message("assistant", row.texts[best]),)
        demonstrations[key] = Demonstration(row.prompt.prompt, chosen, **columns)
        lower_ids = [
            i for i in finished_ids if row.scores[i] < row.scores[best] and row.texts[i] != row.texts[best]
        ]
        if lower_ids:
            random_id = derive_rng(config.seed, "rejected", number).choice(lower_ids)
            worst_id = min(lower_ids, key=lambda i: row.scores[i])
            rejected = row.texts[random_id if config.rejected == "random" else worst_id]
            comparisons.append(
                Comparison(row.prompt.prompt, chosen, (Message("assistant", rejected),), **columns)
            )
    if not demonstrations:
        reasons = ", ".join(f"{name} {count}" for name, count in dropped.items())
        raise DataError(
            f"{config.name}: no answer was kept ({reasons} of {counted(len(answers), 'prompt')}). "
            "Raise max_new_tokens, or lower min_score."
        )

    # 5. Write
    def fill(folder: Path) -> None:
        write_records(folder / "demonstrations.jsonl", demonstrations.values())
        if comparisons:
            write_records(folder / "comparisons.jsonl", comparisons)
        jsonl.write(folder / "answers.jsonl", (answers_to_row(row) for row in answers))

    num_tied = sum(Counter(row.scores)[row.best_score] > 1 for row in answers)
    if config.n > 1 and all(len(set(row.scores)) == 1 for row in answers):
        diagnostics.report_equal_scores(run, len(answers))
    metrics = {
        "score": interval.mean([math.fsum(row.scores) / config.n for row in answers]).as_dict(),
        "best_score": interval.mean([row.best_score for row in answers]).as_dict(),
        "by_n": by_n,
        "prompts": len(answers),
        "demonstrations": len(demonstrations),
        "comparisons": len(comparisons),
        **{name: dropped[name] for name in ("unfinished", "below_min_score", "repeated")},
        "finished_frac": sum(sum(row.finished) for row in answers) / (len(answers) * config.n),
        "tied_frac": num_tied / len(answers),
        "unreadable": sum(len(row.unreadable) for row in answers),
    }
    return run.publish(fill, metrics=metrics)


def answers_to_row(answers: ScoredAnswers) -> dict[str, Any]:
    """A row as `fairlead sample` writes it, with the scores."""
    row: dict[str, Any] = {
        **to_row(answers.prompt),
        "completions": [[{"role": "assistant", "content": text}] for text in answers.texts],
        "finished": list(answers.finished),
        "scores": list(answers.scores),
    }
    if answers.probe_scores:
        row["probe_scores"] = list(answers.probe_scores)
    if answers.unreadable:
        row["unreadable"] = list(answers.unreadable)
    return row


def row_to_answers(prompt: Prompt, row: dict[str, Any]) -> ScoredAnswers:
    texts = tuple(completion[0]["content"] for completion in row["completions"])
    return ScoredAnswers(
        prompt,
        texts,
        tuple(row["finished"]),
        tuple(row["scores"]),
        tuple(row.get("probe_scores", ())),
        tuple(row.get("unreadable", ())),
    )
