"""What a sampling engine receives and returns."""

import dataclasses

import pytest

from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams


@pytest.mark.parametrize(("reason", "finished"), [("stop", True), ("length", False)])
def test_a_rollout_is_finished_unless_it_reached_its_longest_length(reason: str, finished: bool) -> None:
    rollout = Rollout((5, 9), (2, 7, 1), (-0.3, -1.2, -0.1), reason)  # type: ignore[arg-type]
    assert rollout.finished is finished
    assert rollout.num_reused == 0


def test_the_defaults_sample_from_the_models_own_distribution() -> None:
    params = SamplingParams(max_new_tokens=16)
    cuts = (params.temperature, params.top_k, params.top_p, params.min_p, params.stop)
    assert cuts == (1.0, 0, 1.0, 0.0, ())
    request = SampleRequest(prompts=[(5, 9)], params=params, seed=0)
    assert request.row_ids is None and request.drafts is None


def test_a_request_cannot_be_changed() -> None:
    request = SampleRequest(prompts=[(5, 9)], params=SamplingParams(max_new_tokens=16), seed=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.seed = 1  # type: ignore[misc]
    assert dataclasses.replace(request, seed=1).seed == 1
