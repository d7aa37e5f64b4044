"""Predict the memory of a training run from one small batch, and choose the tokens per forward pass that fit.

Activations, the tensors that the forward pass saves for the backward pass, grow with the tokens per forward
pass.  They are counted exactly: autograd reports every tensor that it saves.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairlead.core import jsonl
from fairlead.core.errors import ModelError
from fairlead.store.run import Run

USABLE_FRAC = 0.6  # of the free memory, for activations; the rest is for temporary tensors
LARGEST = 16_384  # tokens per forward pass; more does not run faster
SMALLEST = 256  # tokens per forward pass; fewer cannot hold a conversation


@dataclass(frozen=True)
class Memory:
    """Memory of a training run in bytes."""

    weights: int  # all networks
    training: int  # gradients, AdamW's moments and master weights of trainable parameters
    per_token: int  # saved for the backward pass, per token of a forward pass

    def total(self, micro_tokens: int) -> int:
        """Expected bytes with `micro_tokens` tokens per forward pass."""
        return self.weights + self.training + self.per_token * micro_tokens


def measure(
    parameters: Iterable[nn.Parameter],
    forward: Callable[[], Tensor],
    num_tokens: int,
    *,
    optimizer_bits: int = 32,
) -> Memory:
    """Measure the memory of a step.  `forward` computes on `num_tokens` tokens what a step differentiates."""
    moments = 2 * optimizer_bits // 8  # bytes per weight
    all_parameters = list(parameters)
    trained = [p for p in all_parameters if p.requires_grad]
    return Memory(
        weights=sum(p.numel() * p.element_size() for p in all_parameters),
        training=sum(
            p.numel() * (p.element_size() + moments + (4 if p.dtype == torch.bfloat16 else 0))
            for p in trained
        ),
        per_token=-(-saved_bytes(forward, all_parameters) // num_tokens),
    )


def saved_bytes(forward: Callable[[], Tensor], parameters: Iterable[nn.Parameter]) -> int:
    """Bytes that autograd saves in one forward pass.

    Shared storage is counted once, weights are not counted.
    """
    weights = {p.untyped_storage().data_ptr() for p in parameters}
    saved: dict[int, Tensor] = {}  # holds the tensors, because a freed address could be reused

    def pack(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(
        tensor.untyped_storage().nbytes() for address, tensor in saved.items() if address not in weights
    )


def token_budget(run: Run, memory: Memory, requested: int) -> int:
    """`requested` tokens per forward pass, or the most that fits if `requested` is 0.

    The result is recorded in the run's events; a resumed run uses the recorded number.
    Raises ModelError if not even the smallest number fits.
    """
    earlier = [
        event["micro_tokens"]
        for _, event in jsonl.read(run.folder / "events.jsonl")
        if event["event"] == "memory"
    ]
    free = available()
    # The weights are in memory already.
    fits = int(USABLE_FRAC * max(0, free - memory.training) / max(1, memory.per_token))
    micro_tokens = requested or (int(earlier[0]) if earlier else min(LARGEST, fits))
    if micro_tokens < SMALLEST and not requested:
        raise ModelError(
            f"{megabytes(free)} MB of memory are free; this model needs "
            f"{megabytes(memory.total(SMALLEST))} MB "
            f"to train on {SMALLEST} tokens at a time. "
            "Use a smaller model, an adapter (adapter.rank above 0), or gradient_checkpointing=true."
        )
    sizes = {"weights_mb": megabytes(memory.weights), "training_mb": megabytes(memory.training)}
    sizes["expected_mb"] = megabytes(memory.total(micro_tokens))
    run.event("memory", micro_tokens=micro_tokens, per_token_kb=round(memory.per_token / 1024, 1), **sizes)
    if requested and requested > fits and not earlier:
        run.warn(
            f"micro_tokens = {requested} needs about {megabytes(memory.total(requested))} MB; "
            f"{megabytes(free)} MB "
            f"are free. If it fails, set micro_tokens={max(SMALLEST, fits)}, or 0 to choose automatically."
        )
    return micro_tokens


def available() -> int:
    """Free memory in bytes: of the GPU, or what Linux can provide without swapping."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: half of the installed memory
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return int(line.split()[1]) * 1024


def megabytes(size: int) -> int:
    return round(size / 2**20)
