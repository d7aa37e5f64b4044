"""Sample: a model's answers to prompts, to be scored, compared or read.

reads   prompts, a policy      writes  rollouts: one row per prompt with its answers
run     fairlead sample sft --prompts data/prompts.jsonl -n 4 --out answers.jsonl

A row is `{"prompt": messages, "completions": [messages, ...], "finished": [bool, ...]}` and the other columns
of its prompt.  An answer that reached max_new_tokens is not finished.  The same seed gives the same answers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fairlead.core import jsonl
from fairlead.core.config import DatasetRef, ModelRef
from fairlead.core.errors import require, require_positive
from fairlead.core.progress import progress
from fairlead.data.record_reader import read_prompts
from fairlead.data.records import to_row
from fairlead.examples.prompts import fit_prompts
from fairlead.model.policy import Policy
from fairlead.rollout.engine import Engine, LocalEngine, sample_rollouts
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run
from fairlead.train.meter import Meter
from fairlead.train.settings import AnswersPrompts, ReadsConversations
from fairlead.train.setup import open_policy

KIND = "rollouts"
ROWS = "answers.jsonl"
ANSWERS_PER_REQUEST = 256  # progress and Ctrl-C are handled between requests


@dataclass(frozen=True, kw_only=True)
class Config(ReadsConversations, AnswersPrompts):
    name: str  # name of the rollouts that are written
    model: ModelRef  # the model that answers
    prompts: DatasetRef  # native rows with a prompt
    per_prompt: int = 1  # answers per prompt
    max_new_tokens: int = 256  # longest answer
    temperature: float = 1.0  # sampling temperature; 0 is greedy decoding
    top_k: int = 0  # keep the k most likely tokens; 0 keeps all
    top_p: float = 1.0  # keep the most likely tokens that make up this probability
    # keep tokens with at least this share of the most likely token's probability; 0 keeps all
    min_p: float = 0.0
    stop: tuple[str, ...] = ()  # an answer also ends with the token that completes one of these strings
    seed: int = 0  # seed of sampling

    def __post_init__(self) -> None:
        require_positive(self, "per_prompt", "max_new_tokens")
        require(self.temperature >= 0, "temperature", self.temperature, "must not be negative")
        require(self.top_k >= 0, "top_k", self.top_k, "must not be negative")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "must lie in (0, 1]")
        require(0 <= self.min_p <= 1, "min_p", self.min_p, "must lie in [0, 1]; 0 keeps all tokens")
        why = "must not contain an empty string; every answer contains it"
        require(all(self.stop), "stop", self.stop, why)


def main(config: Config, run: Run, *, open_engine: Callable[[Policy], Engine] = LocalEngine) -> Artifact:
    if run.finished:
        return run.finished

    # 1. Model and prompts
    policy = open_policy(run, config)  # it answers, and nothing is trained
    engine = open_engine(policy)
    fitted = fit_prompts(
        policy,
        read_prompts(run.data_path("prompts")),
        config.too_long,
        max_new_tokens=config.max_new_tokens,
        source=config.prompts,
        spelling=run.spelling,
        run=run,
    )
    run.record_data(fitted.left_out, prompts=len(fitted.records))
    params = SamplingParams(
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        min_p=config.min_p,
        stop=config.stop,
    )

    # 2. Sample.  Every answer has its own random numbers, so the size of a request does not change results
    encoded = [tokens for tokens in fitted.encoded for _ in range(config.per_prompt)]
    meter = Meter(run)
    rollouts: list[Rollout] = []
    starts = range(0, len(encoded), ANSWERS_PER_REQUEST)
    with progress("sample", len(starts), quiet=run.quiet) as bar:
        for start in starts:
            run.stop.raise_if_set("Stopped. The same command starts sampling again.")
            part = encoded[start : start + ANSWERS_PER_REQUEST]
            row_ids = range(start, start + len(part))
            request = SampleRequest(prompts=part, params=params, seed=config.seed, row_ids=row_ids)
            rollouts += sample_rollouts(engine, policy, request)
            bar.advance()
    meter.count(sum(len(rollout.tokens) for rollout in rollouts))
    meter.flush()

    # 3. Write
    def rows() -> Iterator[dict[str, Any]]:
        for i, record in enumerate(fitted.originals):  # a cut prompt is written whole
            answers = rollouts[i * config.per_prompt : (i + 1) * config.per_prompt]
            yield {
                **to_row(record),
                "completions": [
                    [{"role": "assistant", "content": policy.text(answer.tokens)}] for answer in answers
                ],
                "finished": [answer.finished for answer in answers],
            }

    metrics = {
        "answers": len(rollouts),
        "finished_frac": sum(rollout.finished for rollout in rollouts) / len(rollouts),
        "response_tokens": sum(len(rollout.tokens) for rollout in rollouts) / len(rollouts),
    }
    return run.publish(lambda folder: jsonl.write(folder / ROWS, rows()), metrics=metrics)
