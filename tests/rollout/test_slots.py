"""The slot cache by itself: growth, masks, filling, dropping, and its precision."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from fairlead.rollout import slots
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fakes import SHAPES, network

CPU = torch.device("cpu")
LAYERS, HEADS, SIZE = 2, 2, 8


def prefilled(states: Tensor) -> DynamicCache:
    """A cache of prompts with these keys and values in every layer.  [rows, heads, columns, size]"""
    cache = DynamicCache()
    for layer in range(LAYERS):
        cache.update(states, states, layer)
    return cache


def test_each_token_attends_to_its_own_slot_up_to_itself() -> None:
    made = slots.Slots(3, capacity=8, device=CPU)
    made.cache(LAYERS)
    states = torch.randn(2, HEADS, 4, SIZE)
    made.fill(torch.tensor([2, 0]), torch.tensor([0, 1]), prefilled(states), torch.tensor([4, 2]))
    assert made.lengths.tolist() == [2, 0, 4] and made.longest == 4
    # slot 0 holds two tokens and sees a third, slot 1 is empty and sees itself, slot 2 holds four and sees a
    # fifth
    assert made.step_mask(5).int().reshape(3, 5).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
    ]
    assert torch.equal(made.layers[0].keys[2, :, :4], states[0])
    assert torch.equal(made.layers[1].values[0, :, :2], states[1, :, :2])


def test_a_step_writes_each_token_at_the_end_of_its_slot() -> None:
    made = slots.Slots(2, capacity=8, device=CPU)
    cache = made.cache(LAYERS)
    states = torch.randn(2, HEADS, 3, SIZE)
    made.fill(torch.arange(2), torch.arange(2), prefilled(states), torch.tensor([3, 1]))
    made.step_mask(4)
    tokens = torch.randn(2, HEADS, 1, SIZE)
    keys, values = cache.update(tokens, -tokens, 0)
    assert keys.shape == (2, HEADS, 4, SIZE)
    assert torch.equal(keys[0, :, 3], tokens[0, :, 0]) and torch.equal(values[1, :, 1], -tokens[1, :, 0])
    assert torch.equal(keys[0, :, :3], states[0]) and torch.equal(keys[1, :, :1], states[1, :, :1])


def test_kept_slots_are_renumbered() -> None:
    made = slots.Slots(3, capacity=8, device=CPU)
    made.cache(LAYERS)
    states = torch.randn(3, HEADS, 2, SIZE)
    made.fill(torch.arange(3), torch.arange(3), prefilled(states), torch.tensor([2, 1, 2]))
    made.keep(torch.tensor([2, 1]))
    assert made.lengths.tolist() == [2, 1] and made.rows.tolist() == [0, 1]
    assert torch.equal(made.layers[1].keys[0, :, :2], states[2])
    assert torch.equal(made.layers[1].keys[1, :, :2], states[1])


def test_columns_are_allocated_as_slots_grow() -> None:
    made = slots.Slots(4, capacity=300, device=CPU)
    cache = made.cache(2)
    states = torch.randn(4, HEADS, 100, SIZE)
    made.fill(torch.arange(4), torch.arange(4), prefilled(states), torch.full((4,), 100))
    widths = []
    for _ in range(200):
        mask = made.step_mask(made.longest + 1)
        for layer in range(2):
            keys, _ = cache.update(torch.ones(4, 2, 1, 8), torch.ones(4, 2, 1, 8), layer)
            assert keys.shape[2] == mask.shape[3]
        made.lengths += 1
        widths.append(made.layers[1].keys.shape[2])
    assert torch.equal(made.layers[1].values[:, :, :100], states) and bool(
        (made.layers[1].values[:, :, 100:300] == 1).all()
    )
    assert sorted(set(widths)) == [128, 256, 300]
    assert all(width <= 100 + step + 128 for step, width in enumerate(widths))


@pytest.mark.parametrize("shape", SHAPES)
def test_slots_store_bfloat16_under_autocast(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    dtypes: set[torch.dtype] = set()
    update = slots._SlotLayer.update

    def recording_update(layer: slots._SlotLayer, *states: Any, **options: Any) -> tuple[Tensor, Tensor]:
        states_in_cache = update(layer, *states, **options)
        dtypes.update(tensor.dtype for tensor in states_in_cache)
        return states_in_cache

    monkeypatch.setattr(slots._SlotLayer, "update", recording_update)
    request = SampleRequest(prompts=[(5, 6, 7), (8,)], params=SamplingParams(max_new_tokens=2), seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        sample(network(shape), request, stop_ids=frozenset(), pad_id=0)
    assert dtypes == {torch.bfloat16}
