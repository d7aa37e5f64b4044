"""Sample one response to each of some prompts, encoded for training.  N responses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data.record_reader import read_prompts
from fairlead.data.records import Messages, Prompt
from fairlead.encoding.batching import Batch, collate
from fairlead.examples.prompts import fit_prompts
from fairlead.model.policy import Policy
from fairlead.rollout import speculative
from fairlead.rollout.engine import Engine, sample_rollouts
from fairlead.rollout.records import Answer, Rollout, SampleRequest, SamplingParams
from fairlead.rollout.training_rows import training_row
from fairlead.store.run import Run
from fairlead.train.settings import LongPrompts


@dataclass(frozen=True)
class Responses:
    """N sampled responses with their prompts."""

    answers: list[Answer]  # as text, with the rows of their prompts
    rollouts: list[Rollout]
    batch: Batch  # N rows of prompt and response; response_mask selects the response


@dataclass(frozen=True)
class PromptSampler:
    """The prompts of a run, and the engine that responds to them."""

    engine: Engine
    policy: Policy
    rows: list[Prompt]
    encoded: list[tuple[int, ...]]
    params: SamplingParams
    numbers: list[int]  # of the rows in their file, from 1
    # Each prompt's last response, as a draft of the next one; None samples without drafts.
    drafts: Tensor | None = None
    draft_seed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def prompts(self) -> list[Messages]:
        return [row.prompt for row in self.rows]

    def subset(self, indices: Sequence[int]) -> "PromptSampler":
        """The sampler of some of the prompts, in this order; before any was sampled."""
        if len(indices) == len(self):
            return self
        return replace(
            self,
            rows=[self.rows[i] for i in indices],
            encoded=[self.encoded[i] for i in indices],
            numbers=[self.numbers[i] for i in indices],
            drafts=None if self.drafts is None else self.drafts[: len(indices)],
        )

    def require(self, prompts_per_step: int, source: str) -> None:
        """Raise DataError if there are too few prompts for one step."""
        if len(self) < prompts_per_step:
            raise DataError(
                f"{source}: has {counted(len(self), 'prompt')}, but a step samples {prompts_per_step}. "
                "Lower batch or add prompts."
            )

    def sample(self, prompt_ids: Sequence[int], *, seed: int) -> Responses:
        """One response to each of these prompts from the present policy; a prompt may occur several times."""
        request = SampleRequest(prompts=[self.encoded[i] for i in prompt_ids], params=self.params, seed=seed)
        if self.drafts is not None:
            # A prompt draws the same random numbers in every epoch; otherwise a draft would predict nothing.
            drafts = speculative.read_drafts(self.drafts, prompt_ids)
            request = replace(request, seed=self.draft_seed, row_ids=prompt_ids, drafts=drafts)
        rollouts = sample_rollouts(self.engine, self.policy, request)
        if self.drafts is not None:
            speculative.store_drafts(self.drafts, prompt_ids, rollouts)
        training_rows = [training_row(rollout) for rollout in rollouts]
        return Responses(
            answers=[
                Answer(self.rows[i], self.policy.text(rollout.tokens), rollout.finished, self.numbers[i])
                for i, rollout in zip(prompt_ids, rollouts, strict=True)
            ],
            rollouts=rollouts,
            batch=collate(training_rows, pad_id=self.policy.pad_id, device=self.policy.device),
        )


def load_prompts(
    run: Run,
    engine: Engine,
    policy: Policy,
    *,
    source: str,
    prompts_per_step: int,
    max_new_tokens: int,
    too_long: LongPrompts = "error",
) -> PromptSampler:
    """Read and encode the run's prompts.  Raises DataError if they are too few for one step, or too long."""
    rows = read_prompts(run.data_path("prompts"))
    fitted = fit_prompts(policy, rows, too_long, max_new_tokens=max_new_tokens, source=source, run=run)
    run.record_data(fitted.left_out, prompts=len(fitted.records))
    params = SamplingParams(max_new_tokens=max_new_tokens)
    sampler = PromptSampler(engine, policy, fitted.records, fitted.encoded, params, fitted.numbers)
    sampler.require(prompts_per_step, source)
    return sampler
