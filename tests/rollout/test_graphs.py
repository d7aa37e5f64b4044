"""Decoding steps of fixed shapes on a CPU, where a recording is replaced by the step itself; recording needs
a GPU.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from fairlead.rollout import graphs
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fairlead.rollout.slots import Slots
from fakes import MORE_SHAPES, SHAPES, network

PROMPTS = [tuple(range(5, 5 + length)) for length in (3, 17, 1, 9, 30, 6, 12, 21)]
MAX_LENGTHS = [20, 3, 31, 8, 14, 2, 25, 1]


def draw(model: PreTrainedModel) -> list[Rollout]:
    request = SampleRequest(prompts=PROMPTS, params=SamplingParams(max_new_tokens=31), seed=3)
    return sample(model, request, stop_ids=frozenset(), pad_id=0, num_slots=4, max_lengths=MAX_LENGTHS)


class Recorder:
    """Stands in for CUDA graphs: a replay runs the step again, and checks that the memory has not moved since
    the recording.
    """

    def __init__(self) -> None:
        self.num_recorded = 0
        self.num_replayed = 0
        self.widths: set[int] = set()

    def make_decode_step(self, model: PreTrainedModel, slots: Slots, cache: Cache) -> graphs.DecodeStep:
        def record(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
            self.num_recorded += 1
            addresses = slots.addresses()

            def replay() -> Tensor:
                assert slots.addresses() == addresses
                self.num_replayed += 1
                self.widths.add(slots.width)
                return run()

            return replay

        return graphs.make_fixed_shape_step(model, slots, cache, record=record)


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_steps_of_fixed_shapes_draw_the_same_tokens(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    expected = draw(network(shape))
    recorder = Recorder()
    monkeypatch.setattr(graphs, "WIDTH", 16)
    monkeypatch.setattr(graphs, "make_decode_step", recorder.make_decode_step)
    rollouts = draw(network(shape))
    assert [rollout.tokens for rollout in rollouts] == [rollout.tokens for rollout in expected]
    for rollout, reference in zip(rollouts, expected, strict=True):
        torch.testing.assert_close(
            torch.tensor(rollout.logps), torch.tensor(reference.logps), atol=1e-4, rtol=0
        )  # of order 5
    assert (
        recorder.widths <= {16, 32, 44} and len(recorder.widths) > 1
    )  # 44: the prompt of 30 and its 14 tokens fill a slot
    assert recorder.num_recorded < recorder.num_replayed / 3
