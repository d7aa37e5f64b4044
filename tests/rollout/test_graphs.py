"""Steps of fixed shapes on a CPU, where what a GPU would record is run as it is; the recording itself needs a GPU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from fairlead.rollout import graphs
from fairlead.rollout.records import Rollout, Sampling
from fairlead.rollout.sampler import sample
from fairlead.rollout.slots import Slots
from fakes import MORE_SHAPES, SHAPES, network

PROMPTS = [tuple(range(5, 5 + length)) for length in (3, 17, 1, 9, 30, 6, 12, 21)]
LIMITS = [20, 3, 31, 8, 14, 2, 25, 1]


def drawn(model: PreTrainedModel) -> list[Rollout]:
    return sample(
        model,
        PROMPTS,
        Sampling(max_new_tokens=31),
        stop_ids=frozenset(),
        pad_id=0,
        run_seed=3,
        slots=4,
        limits=LIMITS,
    )


class Recorder:
    """What a graph does as far as a CPU can tell: it runs again what it was given, in the memory where that was recorded."""

    def __init__(self) -> None:
        self.made, self.replayed = 0, 0
        self.widths: set[int] = set()

    def stepper(self, model: PreTrainedModel, slots: Slots, cache: Cache) -> graphs.Step:
        def record(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
            self.made += 1
            places = slots.addresses()

            def replay() -> Tensor:
                assert slots.addresses() == places
                self.replayed += 1
                self.widths.add(slots.width)
                return run()

            return replay

        return graphs.fixed(model, slots, cache, record=record)


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_steps_of_fixed_shapes_draw_the_same_tokens(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    expected = drawn(network(shape))
    recorder = Recorder()
    monkeypatch.setattr(graphs, "WIDTH", 16)
    monkeypatch.setattr(graphs, "stepper", recorder.stepper)
    found = drawn(network(shape))
    assert [rollout.tokens for rollout in found] == [rollout.tokens for rollout in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            torch.tensor(one.logps), torch.tensor(other.logps), atol=1e-4, rtol=0
        )  # of order 5
    assert (
        recorder.widths <= {16, 32, 44} and len(recorder.widths) > 1
    )  # 44: the prompt of 30 and its 14 tokens fill a slot
    assert recorder.made < recorder.replayed / 3
