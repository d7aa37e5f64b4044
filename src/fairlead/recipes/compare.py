"""Compare: which of two models' answers a judge prefers, prompt by prompt.

reads   two rollouts over the same prompts, a judge      writes  evaluation: the verdict and every score
run     fairlead compare sft aligned --prompts data/held_out.jsonl --judge reward:reward

One answer per model and prompt.  Ties count half.  The interval is Tango's for paired outcomes
(stats.interval). The judge scores each answer by itself, so the order of the two models does not matter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core import files, jsonl
from fairlead.core.config import RewardModelRef, RolloutsRef
from fairlead.core.errors import DataError
from fairlead.data.records import to_row
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers
from fairlead.eval.leaks import examine_evidence, prompts_of
from fairlead.rollout.readable import PromptTrial, Scores
from fairlead.rollout.records import Answer
from fairlead.rollout.reward_mix import open_judge
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.meter import Meter
from fairlead.train.settings import Scoring

KIND = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # name of the evaluation that is written
    a: RolloutsRef  # answers of the first model
    b: RolloutsRef  # answers of the second model, to the same prompts
    judge: RewardModelRef  # a reward model, rule:FILE.py or rule:MODULE
    exclude_leaks: bool = False  # leave out and count prompts that were trained on, instead of refusing them
    micro_tokens: int = 4096  # tokens per forward pass of a reward model; does not change results
    seed: int = 0  # not used: the comparison is deterministic
    scoring: Scoring = Scoring()


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Answers of both models to the same prompts, and the judge
    meter = Meter(run)
    answers_a = read_sampled_answers(run.data_path("a"))
    answers_b = read_sampled_answers(run.data_path("b"))
    prompts = [answers.prompt for answers in answers_a]
    if prompts != [answers.prompt for answers in answers_b]:
        raise DataError(
            f"{config.a} and {config.b} answer different prompts. Sample both from the same file."
        )
    leaks, judge_paid = examine_evidence(run, prompts)
    kept = leaks.kept_rows(source=prompts_of(run), exclude=config.exclude_leaks)
    trial = PromptTrial([prompts[i] for i in kept], max_new_tokens=0, scoring=config.scoring, source=config.a)
    judge = open_judge(run, "judge", trial=trial, micro_tokens=config.micro_tokens, scoring=config.scoring)
    readable_ids = [kept[i] for i in trial.finish(run)]
    answers_a, answers_b = ([answers[i] for i in readable_ids] for answers in (answers_a, answers_b))

    # 2. Score the first answer to each prompt
    def judged(sampled: Sequence[SampledAnswers]) -> Scores:
        return judge(
            [
                Answer(row.prompt_record, row.texts[0], row.finished[0], number=row_id + 1)
                for row_id, row in zip(readable_ids, sampled, strict=True)
            ]
        )

    judged_a = judged(answers_a)
    run.stop.raise_if_set("Stopped. The same command starts the comparison again.")
    judged_b = judged(answers_b)
    scores_a, scores_b = judged_a.values.tolist(), judged_b.values.tolist()
    win_rate = interval.win_rate(scores_a, scores_b)
    counts = {"wins": win_rate.wins, "ties": win_rate.ties, "losses": win_rate.losses}
    metrics = {
        "win_rate_a": win_rate.interval.as_dict() | counts,
        "score_a": interval.mean(scores_a).as_dict(),
        "score_b": interval.mean(scores_b).as_dict(),
        "unreadable_a": int(judged_a.unreadable.sum()),
        "unreadable_b": int(judged_b.unreadable.sum()),
        "leaks": leaks.as_dict(excluded=True),
        "judge_paid": judge_paid,
    }
    meter.flush()

    # 3. Write
    def rows() -> Iterator[dict[str, Any]]:
        for a, b, score_a, score_b in zip(answers_a, answers_b, scores_a, scores_b, strict=True):
            yield {
                **to_row(a.prompt_record),
                "a": a.texts[0],
                "b": b.texts[0],
                "scores": [score_a, score_b],
            }

    def fill(folder: Path) -> None:
        files.write_text(folder / "verdict.json", jsonl.dumps(metrics) + "\n")
        jsonl.write(folder / "scores.jsonl", rows())

    return run.publish(fill, metrics=metrics)
