"""Sampling responses to the prompts of a run: requests, rows to train on, drafts, and errors."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from fairlead.core.errors import DataError
from fairlead.recipes import grpo
from fairlead.rollout import prompt_sampler
from fairlead.rollout.prompt_sampler import PromptSampler
from fairlead.rollout.records import Rollout, SampleRequest
from fairlead.rollout.speculative import empty_draft_table
from fairlead.store.run import Run, open_run
from fakes import policy, project_with_base

CONFIG = grpo.Config(name="aligned", model="base", reward="rule:data/vowels.py", prompts="data/prompts.jsonl")


@dataclass
class RecordingEngine:
    """Responds to row i of a request with tokens that depend on i only."""

    stop_id: int
    requests: list[SampleRequest] = field(default_factory=list)

    def sample(self, request: SampleRequest) -> list[Rollout]:
        self.requests.append(request)
        rollouts = []
        for i, prompt in enumerate(request.prompts):
            tokens = (60 + i, 61 + i, self.stop_id) if i % 2 == 0 else (60 + i, 61 + i, 62 + i, 63 + i)
            logps = (-0.5,) * len(tokens)
            rollouts.append(Rollout(tuple(prompt), tokens, logps, "stop" if i % 2 == 0 else "length"))
        return rollouts


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    project = project_with_base(tmp_path / "project")
    with open_run(project, "grpo", CONFIG, kind=grpo.KIND, quiet=True) as opened:
        yield opened


def load(run: Run, folder: Path, *, prompts_per_step: int = 4) -> tuple[PromptSampler, RecordingEngine]:
    model = policy(folder / "model")
    engine = RecordingEngine(min(model.stop_ids))
    sampler = prompt_sampler.load_prompts(
        run, engine, model, source="prompts.jsonl", prompts_per_step=prompts_per_step, max_new_tokens=4
    )
    return sampler, engine


def test_prompts_are_requested_in_order_and_may_repeat(run: Run, tmp_path: Path) -> None:
    sampler, engine = load(run, tmp_path)
    assert len(sampler) == 40
    responses = sampler.sample([3, 0, 3], seed=11)
    (request,) = engine.requests
    assert list(request.prompts) == [sampler.encoded[i] for i in (3, 0, 3)]
    assert (request.seed, request.row_ids, request.drafts) == (11, None, None)
    assert request.params.max_new_tokens == 4
    assert [answer.row for answer in responses.answers] == [sampler.rows[i] for i in (3, 0, 3)]
    assert [answer.number for answer in responses.answers] == [4, 1, 4]
    assert [answer.finished for answer in responses.answers] == [True, False, True]
    texts = [answer.text for answer in responses.answers]
    assert texts == [sampler.policy.text(rollout.tokens) for rollout in responses.rollouts]


def test_the_batch_holds_prompt_and_response_and_masks_the_response(run: Run, tmp_path: Path) -> None:
    sampler, _ = load(run, tmp_path)
    responses = sampler.sample([3, 0], seed=0)
    for row, rollout in enumerate(responses.rollouts):
        length = len(rollout.prompt_tokens) + len(rollout.tokens)
        assert responses.batch.tokens[row, :length].tolist() == [*rollout.prompt_tokens, *rollout.tokens]
        masked = responses.batch.tokens[row][responses.batch.response_mask[row]]
        assert tuple(masked.tolist()) == rollout.tokens


def test_drafts_are_the_last_responses_and_keep_their_random_numbers(run: Run, tmp_path: Path) -> None:
    sampler, engine = load(run, tmp_path)
    sampler = replace(sampler, drafts=empty_draft_table(len(sampler), 4), draft_seed=99)
    first = sampler.sample([5, 2], seed=1)
    sampler.sample([2, 7], seed=2)
    assert engine.requests[0].drafts == [[], []]
    assert engine.requests[1].drafts == [list(first.rollouts[1].tokens), []]
    assert [(request.seed, list(request.row_ids or [])) for request in engine.requests] == [
        (99, [5, 2]),
        (99, [2, 7]),
    ]
    assert sampler.drafts is not None
    assert torch.equal((sampler.drafts[:, 0] >= 0).nonzero().flatten(), torch.tensor([2, 5, 7]))


def test_fewer_prompts_than_a_step_samples_are_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prompts.jsonl: has 40 prompts, but a step samples 41"):
        load(run, tmp_path, prompts_per_step=41)
