"""A key-value cache of slots: every slot holds one response at its own length, and goes to the next prompt
when the response ends.

slot 0   P P P A A A A . . .     lengths 7 2 5: a decoding step writes one token per slot, each at its
slot 1   P A . . . . . . . .     own column, and each token attends to the columns before it in its own
slot 2   P P P P A . . . . .     slot

S slots.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

# Columns allocated at a time.  Growing copies the cache once, and every step until the next growth reads all
# of it anyway.
GROWTH = 128


class Slots:
    """The lengths and the width that all layers of the cache share."""

    def __init__(self, num_slots: int, *, capacity: int, device: torch.device) -> None:
        self.capacity = capacity  # tokens that a slot can hold at most
        self.lengths = torch.zeros(num_slots, dtype=torch.int64, device=device)  # [S] tokens in each slot
        self.rows = torch.arange(num_slots, device=device)
        self.columns = torch.arange(capacity, device=device)
        self.width = 0  # columns that the next step reads
        self.layers: list[_SlotLayer] = []

    def cache(self, num_layers: int) -> Cache:
        """The cache that a transformers model writes a step's keys and values to."""
        self.layers = [_SlotLayer(self) for _ in range(num_layers)]
        return Cache(layers=list(self.layers))

    @property
    def longest(self) -> int:
        return int(self.lengths.max())

    def columns_for(self, width: int) -> int:
        """The number of columns allocated for `width`: few distinct values, so that the shapes of a step
        seldom change.
        """
        return min(-(-width // GROWTH) * GROWTH, self.capacity)

    def addresses(self) -> tuple[int, ...]:
        """The memory addresses of the lengths and of all keys and values."""
        return (
            self.lengths.data_ptr(),
            *(tensor.data_ptr() for layer in self.layers for tensor in (layer.keys, layer.values)),
        )

    def step_mask(self, width: int) -> Tensor:
        """What the next token of each slot attends to: the tokens before it, and itself.  [S, 1, 1, width]

        `width` must be at least one more than the longest slot holds.
        """
        self.width = width
        for layer in self.layers:
            layer.widen(width)
        return (self.columns[: self.width] <= self.lengths[:, None])[:, None, None]

    def fill(self, slots: Tensor, source: Tensor, prefilled: Cache, lengths: Tensor) -> None:
        """Copy the rows `source` of a cache of prompts, padded on the right, into `slots`.  [n], [n], cache,
        [n]
        """
        for layer, prompt in zip(self.layers, prefilled.layers, strict=True):
            assert (
                isinstance(prompt, CacheLayerMixin) and prompt.keys is not None and prompt.values is not None
            ), "a prefilled cache has keys and values in every layer"
            layer.fill(slots, prompt.keys[source], prompt.values[source])
        self.lengths[slots] = lengths

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these, and renumber them in this order."""
        self.lengths = self.lengths[slots]
        self.rows = self.rows[: len(slots)]
        for layer in self.layers:
            layer.keys = layer.keys[slots]
            layer.values = layer.values[slots]


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
        # Under autocast many models still pass float32, and attention would then convert the whole cache in
        # every step.
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else key_states.dtype
        num_slots = len(self.slots.rows)
        num_heads = key_states.shape[1]
        self.keys = key_states.new_zeros((num_slots, num_heads, 0, key_states.shape[3]), dtype=dtype)
        self.values = value_states.new_zeros((num_slots, num_heads, 0, value_states.shape[3]), dtype=dtype)
        self.is_initialized = True

    def widen(self, width: int) -> None:
        """Allocate at least `width` columns."""
        extra = self.slots.columns_for(width) - self.keys.shape[2]
        if extra > 0:
            self.keys = F.pad(self.keys, (0, 0, 0, extra))
            self.values = F.pad(self.values, (0, 0, 0, extra))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        rows = self.slots.rows
        lengths = self.slots.lengths
        width = self.slots.width
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
