"""A key-value cache of slots: every slot holds one answer at its own length, and is given to the next prompt when the answer ends.

slot 0   P P P A A A A . . .     lengths 7 2 5; a step writes one token into each slot at its own place
slot 1   P A . . . . . . . .     and each may look at what stands before it in its own slot
slot 2   P P P P A . . . . .
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

GROWTH = 128  # columns that are allocated at a time: a copy of the cache, once for that many steps that each read all of it


class Slots:
    """The places of all layers: which part of the cache is alive."""

    def __init__(self, count: int, *, capacity: int, device: torch.device) -> None:
        self.capacity = capacity  # tokens that a slot can come to hold
        self.lengths = torch.zeros(count, dtype=torch.int64, device=device)  # [S] tokens that each slot holds
        self.rows = torch.arange(count, device=device)
        self.columns = torch.arange(capacity, device=device)
        self.width = 0  # columns that the next step looks at
        self.layers: list[_SlotLayer] = []

    def cache(self, num_layers: int) -> Cache:
        """What a transformers model writes a step's keys and values into."""
        self.layers = [_SlotLayer(self) for _ in range(num_layers)]
        return Cache(layers=list(self.layers))

    @property
    def longest(self) -> int:
        return int(self.lengths.max())

    def columns_for(self, width: int) -> int:
        """The columns that are allocated for `width`: few numbers, so that a step seldom has a new shape, and whole rows of the cache."""
        return min(-(-width // GROWTH) * GROWTH, self.capacity)

    def addresses(self) -> tuple[int, ...]:
        """Where lengths and caches lie in memory."""
        return (
            self.lengths.data_ptr(),
            *(part.data_ptr() for layer in self.layers for part in (layer.keys, layer.values)),
        )

    def step_mask(self, width: int) -> Tensor:
        """What the token that is written next in each slot may look at: all before it, and itself.  [S, 1, 1, width]

        `width` is at least one more than the longest slot holds.
        """
        self.width = width
        for layer in self.layers:
            layer.widen(width)
        return (self.columns[: self.width] <= self.lengths[:, None])[:, None, None]

    def fill(self, slots: Tensor, source: Tensor, prefilled: Cache, lengths: Tensor) -> None:
        """Give `slots` the prompts `source` of a cache that holds prompts, padded on the right.  [n], [n], cache, [n]"""
        for layer, prompt in zip(self.layers, prefilled.layers, strict=True):
            assert (
                isinstance(prompt, CacheLayerMixin) and prompt.keys is not None and prompt.values is not None
            )
            layer.fill(slots, prompt.keys[source], prompt.values[source])
        self.lengths[slots] = lengths

    def keep(self, slots: Tensor) -> None:
        """Only these slots go on, in this order."""
        self.lengths, self.rows = self.lengths[slots], self.rows[: len(slots)]
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[slots], layer.values[slots]


class _SlotLayer(CacheLayerMixin):
    """One layer's keys and values.  [S, heads, columns, D]"""

    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, slots: Slots) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        device = key_states.device.type
        # Under autocast many models hand over float32 all the same, and attention would round the whole cache again in every step.
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else key_states.dtype
        rows, heads = len(self.slots.rows), key_states.shape[1]
        self.keys = key_states.new_zeros((rows, heads, 0, key_states.shape[3]), dtype=dtype)
        self.values = value_states.new_zeros((rows, heads, 0, value_states.shape[3]), dtype=dtype)
        self.is_initialized = True

    def widen(self, width: int) -> None:
        """Room for `width` columns."""
        extra = self.slots.columns_for(width) - self.keys.shape[2]
        if extra > 0:
            self.keys = F.pad(self.keys, (0, 0, 0, extra))
            self.values = F.pad(self.values, (0, 0, 0, extra))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        rows, lengths, width = self.slots.rows, self.slots.lengths, self.slots.width
        self.keys[rows, :, lengths] = key_states[:, :, 0].to(self.keys.dtype)
        self.values[rows, :, lengths] = value_states[:, :, 0].to(self.values.dtype)
        return self.keys[:, :, :width], self.values[:, :, :width]

    def fill(self, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.widen(keys.shape[2])
        self.keys[slots, :, : keys.shape[2]] = keys.to(self.keys.dtype)
        self.values[slots, :, : values.shape[2]] = values.to(self.values.dtype)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.slots.width, 0

    def get_seq_length(self) -> int:
        return self.slots.width

    def get_max_length(self) -> int:
        return self.slots.capacity
