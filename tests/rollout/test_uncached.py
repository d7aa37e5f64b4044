"""Sampling without a cache draws what the slots draw."""

import pytest

from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fakes import SHAPES, network

PROMPTS = [(5, 9, 40), (7,), (33, 12, 8, 50, 61, 9), (5, 9, 40)]
STOPS = frozenset(range(0, 352, 20))  # so many that some rows end early


@pytest.mark.parametrize("shape", [*SHAPES[:2], "gemma2"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_response_does_not_depend_on_the_method(shape: str, temperature: float) -> None:
    model = network(shape)
    params = SamplingParams(max_new_tokens=12, temperature=temperature)
    request = SampleRequest(prompts=PROMPTS, params=params, seed=3)
    cached, uncached = (
        sample(model, request, stop_ids=STOPS, pad_id=0, method=method) for method in (None, "uncached")
    )
    assert [row.tokens for row in uncached] == [row.tokens for row in cached]
    assert len({row.finish_reason for row in uncached}) == 2 or temperature == 0
    for row, expected in zip(uncached, cached, strict=True):
        assert row.logps == pytest.approx(expected.logps, abs=1e-4)


def test_more_rows_than_one_pass_holds() -> None:
    request = SampleRequest(
        prompts=[(i,) for i in range(1, 40)], params=SamplingParams(max_new_tokens=3), seed=0
    )
    rollouts = sample(network("llama"), request, stop_ids=frozenset(), pad_id=0, method="uncached")
    assert [row.prompt_tokens for row in rollouts] == [(i,) for i in range(1, 40)]
    assert {len(row.tokens) for row in rollouts} == {3}
