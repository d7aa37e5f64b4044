"""Compare: which of two models' answers a judge prefers, prompt by prompt.

reads   two rollouts over the same prompts, a judge      writes  evaluation: the verdict and every score
run     fairlead compare sft aligned --prompts data/held_out.jsonl --judge reward:reward

One answer of each model per prompt; ties count half; the interval is Tango's for paired outcomes (stats.interval).  The judge reads each
answer by itself, so the order of the two cannot matter.
"""

from dataclasses import dataclass
from pathlib import Path

from fairlead.core import files, jsonl
from fairlead.core.config import RewardModelRef, RolloutsRef
from fairlead.core.errors import DataError
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.rollout.rewards import open_reward, verify_reward_backend
from fairlead.stats import interval
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.meter import Meter

KIND = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str  # of the evaluation that is written
    a: RolloutsRef  # answers of the first model
    b: RolloutsRef  # answers of the second, to the same prompts
    judge: RewardModelRef  # a reward model, "rule:FILE.py" or "rule:MODULE"
    micro_tokens: int = 4096  # tokens per forward pass of a reward model; memory, not results
    seed: int = 0


def main(config: Config, run: Run) -> Artifact:
    if run.finished:
        return run.finished
    meter = Meter(run)
    a, b = read_sampled_answers(run.data_path("a")), read_sampled_answers(run.data_path("b"))
    if [row.prompt for row in a] != [row.prompt for row in b]:
        raise DataError(
            f"{config.a} and {config.b} answer different prompts. Sample both from the same file."
        )
    prompts = [row.prompt for row in a]
    judge = open_reward(
        run.model_path("judge"),
        micro_tokens=config.micro_tokens,
        prepare=lambda judge: verify_reward_backend(run, judge, prompts, "float32"),
    )
    scores_a = judge(prompts, [row.texts[0] for row in a], [row.finished[0] for row in a]).tolist()
    run.stop.raise_if_set("Stopped; the same command judges again.")
    scores_b = judge(prompts, [row.texts[0] for row in b], [row.finished[0] for row in b]).tolist()
    verdict = interval.win_rate(scores_a, scores_b)
    metrics = {
        "win_rate_a": verdict.interval.as_dict()
        | {"wins": verdict.wins, "ties": verdict.ties, "losses": verdict.losses},
        "score_a": interval.mean(scores_a).as_dict(),
        "score_b": interval.mean(scores_b).as_dict(),
    }
    meter.flush()

    def fill(folder: Path) -> None:
        files.write_text(folder / "verdict.json", jsonl.dumps(metrics) + "\n")
        rows = zip(a, b, scores_a, scores_b, strict=True)
        jsonl.write(
            folder / "scores.jsonl",
            (
                {
                    "prompt": [{"role": m.role, "content": m.content} for m in one.prompt],
                    "a": one.texts[0],
                    "b": two.texts[0],
                    "scores": [x, y],
                }
                for one, two, x, y in rows
            ),
        )

    return run.publish(fill, metrics=metrics)
