"""Compare: which of two models' answers a judge prefers, prompt by prompt.

reads   two rollouts over the same prompts, a judge      writes  evaluation: the verdict and every score
run     fairlead compare sft aligned --prompts data/held_out.jsonl --judge reward:judge

One answer per model and row.  Ties count half.  The interval is Tango's for paired outcomes, and rows with
the same prompt are one cluster (stats.interval).  A reward model or rule scores each answer by itself, so the
order of the two models does not matter.  A judge behind an endpoint sees both answers, in both orders
(eval.pairwise).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fairlead.core import files, jsonl
from fairlead.core.config import RewardModelRef, RolloutsRef
from fairlead.core.errors import DataError
from fairlead.data.records import Messages, to_row
from fairlead.data.sampled_answers import SampledAnswers, read_sampled_answers
from fairlead.eval.leaks import examine_evidence, prompts_of
from fairlead.eval.pairwise import JudgedPairs, judge_pairs
from fairlead.examples.prompts import CUT, DROPPED
from fairlead.rollout.judge_file import is_llm
from fairlead.rollout.llm_judge import Pair, open_llm_judge
from fairlead.rollout.readable import PromptTrial, Scores
from fairlead.rollout.records import Answer
from fairlead.rollout.reward_mix import judge_name, open_judge
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.admission_gate import refusal_of
from fairlead.train.meter import Meter
from fairlead.train.settings import Scoring

KIND = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # name of the evaluation that is written
    a: RolloutsRef  # answers of the first model
    b: RolloutsRef  # answers of the second model, to the same prompts
    judge: RewardModelRef  # a reward model, rule:FILE.py, rule:MODULE or llm:FILE.toml
    exclude_leaks: bool = False  # leave out and count prompts that were trained on, instead of refusing them
    micro_tokens: int = 4096  # tokens per forward pass of a reward model; does not change results
    seed: int = 0  # not used: the comparison is deterministic
    scoring: Scoring = Scoring()


class Compared(NamedTuple):
    """One prompt, and what both models answered."""

    number: int  # of the prompt, from 1
    a: SampledAnswers
    b: SampledAnswers


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Answers of both models to the same prompts, and the judge
    meter = Meter(run)
    judge_refused = refusal_of(run, "judge")  # the verdict says so; rollouts are worth reading all the same
    answers_a = read_sampled_answers(run.data_path("a"))
    answers_b = read_sampled_answers(run.data_path("b"))
    answers_a, answers_b = match_answers(config, run, answers_a, answers_b)
    prompts = [answers.prompt for answers in answers_a]
    leaks, judge_paid = examine_evidence(run, prompts)
    kept = leaks.kept_rows(
        source=prompts_of(run), exclude=config.exclude_leaks, has_option=run.spelling.with_options
    )
    run.record_data(leaks.left_out("prompts"), prompts=len(kept))
    compared = [Compared(i + 1, answers_a[i], answers_b[i]) for i in kept]

    # 2. Judge the first answers: both at once and in both orders, or each by itself
    if is_llm(run.model_path("judge")):
        judge = open_llm_judge(run, "judge", name=judge_name(run, "judge"))
        judged = judge_pairs(judge, [Pair(a.prompt_record, a.texts[0], b.texts[0]) for _, a, b in compared])
    else:
        compared, judged = score_each(config, run, compared)
    metrics = judged.metrics | {"leaks": leaks.as_dict(excluded=True), "judge_paid": judge_paid}
    if judge_refused is not None:
        metrics["judge_refused"] = asdict(judge_refused)
    if run.judges:
        metrics["judges"] = run.judges
    meter.flush()

    # 3. Write
    def rows() -> Iterator[dict[str, Any]]:
        for (_, a, b), columns in zip(compared, judged.rows, strict=True):
            yield {**to_row(a.prompt_record), "a": a.texts[0], "b": b.texts[0], **columns}

    def fill(folder: Path) -> None:
        files.write_text(folder / "verdict.json", jsonl.dumps(metrics) + "\n")
        jsonl.write(folder / "scores.jsonl", rows())

    return run.publish(fill, metrics=metrics)


def score_each(config: Config, run: Run, compared: Sequence[Compared]) -> tuple[list[Compared], JudgedPairs]:
    """Score the answers to the prompts that the judge can read, each by itself; returns these prompts too."""
    records = [row.a.prompt_record for row in compared]
    trial = PromptTrial(records, max_new_tokens=0, scoring=config.scoring, source=config.a)
    judge = open_judge(run, "judge", trial=trial, micro_tokens=config.micro_tokens, scoring=config.scoring)
    readable = [compared[i] for i in trial.finish(run)]

    def judged(sampled: Sequence[SampledAnswers]) -> Scores:
        return judge(
            [
                Answer(answers.prompt_record, answers.texts[0], answers.finished[0], number=row.number)
                for row, answers in zip(readable, sampled, strict=True)
            ]
        )

    judged_a = judged([row.a for row in readable])
    run.stop.raise_if_set("Stopped. The same command starts the comparison again.")
    judged_b = judged([row.b for row in readable])
    scores_a, scores_b = judged_a.values.tolist(), judged_b.values.tolist()
    prompts = [row.a.prompt for row in readable]  # answers to a repeated prompt are dependent
    win_rate = interval.clustered_win_rate(scores_a, scores_b, prompts)
    counts = {"wins": win_rate.wins, "ties": win_rate.ties, "losses": win_rate.losses}
    metrics = {
        "win_rate_a": win_rate.interval.as_dict() | counts,
        "num_prompts": len(set(prompts)),
        "score_a": interval.clustered_mean(scores_a, prompts).as_dict(),
        "score_b": interval.clustered_mean(scores_b, prompts).as_dict(),
        "unreadable_a": int(judged_a.unreadable.sum()),
        "unreadable_b": int(judged_b.unreadable.sum()),
    }
    pairs = zip(scores_a, scores_b, strict=True)
    return readable, JudgedPairs(metrics, [{"scores": list(scores)} for scores in pairs])


def match_answers(
    config: Config, run: Run, answers_a: list[SampledAnswers], answers_b: list[SampledAnswers]
) -> tuple[list[SampledAnswers], list[SampledAnswers]]:
    """The answers to the prompts that both models answered; counts the prompts that were too long for either.

    Raises DataError if prompts differ for another reason.
    """
    artifacts = [run.inputs[role].artifact for role in ("a", "b")]
    left_out = [artifact.manifest.metrics.get("left_out", {}) if artifact else {} for artifact in artifacts]
    dropped_a, dropped_b = (counts.get(DROPPED, 0) for counts in left_out)
    of_prompt: dict[Messages, list[SampledAnswers]] = {}
    for row in reversed(answers_b):
        of_prompt.setdefault(row.prompt, []).append(row)
    pairs = [(row, of_prompt[row.prompt].pop()) for row in answers_a if of_prompt.get(row.prompt)]
    num_prompts = len(answers_a) + dropped_a
    only_a, only_b = len(answers_a) - len(pairs), len(answers_b) - len(pairs)
    if only_a > dropped_b or only_b > dropped_a or num_prompts != len(answers_b) + dropped_b or not pairs:
        raise DataError(
            f"{config.a} and {config.b} answer different prompts. Sample both from the same file."
        )
    cut = max(counts.get(CUT, 0) for counts in left_out)
    run.record_data({DROPPED: num_prompts - len(pairs), CUT: cut}, prompts=len(pairs))
    return [a for a, _ in pairs], [b for _, b in pairs]
