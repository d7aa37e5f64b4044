"""Sample one response to each of some prompts, encoded for training.  N responses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.data.record_reader import read_prompts
from fairlead.data.records import Messages
from fairlead.encoding.batching import Batch, collate
from fairlead.examples.pairs import encode_prompts
from fairlead.model.policy import Policy
from fairlead.rollout import speculative
from fairlead.rollout.engine import Engine, sample_rollouts
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.training_rows import training_row
from fairlead.store.run import Run


@dataclass(frozen=True)
class Responses:
    """N sampled responses with their prompts."""

    prompts: list[Messages]
    rollouts: list[Rollout]
    texts: list[str]
    finished: list[bool]  # ended by itself, and not at max_new_tokens
    batch: Batch  # N rows of prompt and response; response_mask selects the response


@dataclass(frozen=True)
class PromptSampler:
    """The prompts of a run, and the engine that responds to them."""

    engine: Engine
    policy: Policy
    prompts: list[Messages]
    encoded: list[tuple[int, ...]]
    params: SamplingParams
    # Each prompt's last response, as a draft of the next one; None samples without drafts.
    drafts: Tensor | None = None
    draft_seed: int = 0

    def __len__(self) -> int:
        return len(self.prompts)

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
        rows = [training_row(rollout) for rollout in rollouts]
        return Responses(
            prompts=[self.prompts[i] for i in prompt_ids],
            rollouts=rollouts,
            texts=[self.policy.text(rollout.tokens) for rollout in rollouts],
            finished=[rollout.finished for rollout in rollouts],
            batch=collate(rows, pad_id=self.policy.pad_id, device=self.policy.device),
        )


def load_prompts(
    run: Run, engine: Engine, policy: Policy, *, source: str, prompts_per_step: int, max_new_tokens: int
) -> PromptSampler:
    """Read and encode the run's prompts.  Raises DataError if they are too few for one step, or too long."""
    prompts = [record.prompt for record in read_prompts(run.data_path("prompts"))]
    if len(prompts) < prompts_per_step:
        raise DataError(
            f"{source}: has {len(prompts)} prompts, but a step samples {prompts_per_step}. "
            "Lower batch or add prompts."
        )
    encoded = encode_prompts(policy, prompts, max_new_tokens=max_new_tokens, source=source)
    return PromptSampler(engine, policy, prompts, encoded, SamplingParams(max_new_tokens=max_new_tokens))
