"""Padded batches and slots draw the same responses; a model that needs padded batches is compared with a slow
loop in test_sampler.
"""

import pytest
import torch
from transformers import PreTrainedModel

from fairlead.rollout import padded
from fairlead.rollout.in_flight import RowsInFlight
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fakes import SHAPES, network

PROMPTS = [tuple(range(5, 5 + length)) for length in (3, 17, 1, 9, 30, 6, 12, 21)]
REQUEST = SampleRequest(prompts=PROMPTS, params=SamplingParams(max_new_tokens=20, temperature=0.7), seed=3)
STOPS = frozenset(range(0, 400, 20))


@torch.no_grad()
def sample_padded(model: PreTrainedModel, *, batch_size: int) -> list[Rollout]:
    rows = RowsInFlight(REQUEST, [20] * len(PROMPTS), stop_ids=STOPS, decode=None, device=torch.device("cpu"))
    padded.sample_padded(model, rows, pad_id=0, batch_size=batch_size)
    return rows.rollouts()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_padded_batches_draw_what_slots_draw(shape: str, batch_size: int) -> None:
    expected = sample(network(shape), REQUEST, stop_ids=STOPS, pad_id=0)
    rollouts = sample_padded(network(shape), batch_size=batch_size)
    assert len({len(rollout.tokens) for rollout in rollouts}) > 1  # rows end at different times
    for rollout, reference in zip(rollouts, expected, strict=True):
        assert (rollout.tokens, rollout.finish_reason) == (reference.tokens, reference.finish_reason)
        torch.testing.assert_close(
            torch.tensor(rollout.logps), torch.tensor(reference.logps), atol=1e-4, rtol=0
        )  # of order 5
