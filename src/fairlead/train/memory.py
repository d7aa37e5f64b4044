"""What a training run will take of memory, measured on one small batch before it begins, and the token budget that fits.

The largest part that can be chosen are activations: what the forward pass keeps for the backward pass.  They are counted, not guessed:
autograd tells every tensor that it keeps.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairlead.core import jsonl
from fairlead.core.errors import ModelError
from fairlead.store.run import Run

USABLE = (
    0.6  # share of the free memory that activations may take; the rest is for what a step needs for a moment
)
LARGEST, SMALLEST = (
    16_384,
    256,
)  # tokens per forward pass: more brings no speed, less cannot hold a conversation


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    weights: int  # of all networks
    training: int  # gradients, AdamW's two moments, and float32 master weights, of the trainable ones
    per_token: int  # kept for the backward pass, for each token of a forward pass

    def total(self, micro_tokens: int) -> int:
        return self.weights + self.training + self.per_token * micro_tokens


def measure(
    parameters: Iterable[nn.Parameter],
    forward: Callable[[], Tensor],
    num_tokens: int,
    *,
    optimizer_bits: int = 32,
) -> Memory:
    """`forward` runs all that a step keeps for its backward pass, over `num_tokens` tokens."""
    moments = 2 * optimizer_bits // 8  # bytes per weight
    every = list(parameters)
    trained = [p for p in every if p.requires_grad]
    return Memory(
        weights=sum(p.numel() * p.element_size() for p in every),
        training=sum(
            p.numel() * (p.element_size() + moments + (4 if p.dtype == torch.bfloat16 else 0))
            for p in trained
        ),
        per_token=-(-saved_bytes(forward, every) // num_tokens),
    )


def saved_bytes(forward: Callable[[], Tensor], parameters: Iterable[nn.Parameter]) -> int:
    """What autograd keeps of one forward pass, each piece of memory once; weights are there anyway and are not counted."""
    weights = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, Tensor] = {}  # the tensors themselves: a freed address could be given out again

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(
        tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in weights
    )


def token_budget(run: Run, memory: Memory, asked: int) -> int:
    """`asked` tokens per forward pass, or the most that fits where `asked` is 0; told in the run's events, and kept when it resumes."""
    earlier = [
        event["micro_tokens"]
        for _, event in jsonl.read(run.folder / "events.jsonl")
        if event["event"] == "memory"
    ]
    free = available()
    fits = int(
        USABLE * max(0, free - memory.training) / max(1, memory.per_token)
    )  # the weights are loaded already
    chosen = asked or (int(earlier[0]) if earlier else min(LARGEST, fits))
    if chosen < SMALLEST and not asked:
        raise ModelError(
            f"{megabytes(free)} MB of memory are free; this model needs {megabytes(memory.total(SMALLEST))} MB to train on {SMALLEST} "
            "tokens at a time. Use a smaller model, a lora_rank, or gradient_checkpointing=true."
        )
    sizes = {"weights_mb": megabytes(memory.weights), "training_mb": megabytes(memory.training)}
    sizes["expected_mb"] = megabytes(memory.total(chosen))
    run.event("memory", micro_tokens=chosen, per_token_kb=round(memory.per_token / 1024, 1), **sizes)
    if asked and asked > fits and not earlier:
        run.warn(
            f"micro_tokens = {asked} is expected to take {megabytes(memory.total(asked))} MB; {megabytes(free)} MB are free. "
            f"If it fails, set micro_tokens={max(SMALLEST, fits)} or 0, which chooses."
        )
    return chosen


def available() -> int:
    """Free memory in bytes: the device's, or what Linux says could be had without swapping."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = next(line for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: half of all there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return int(found.split()[1]) * 1024


def megabytes(size: int) -> int:
    return round(size / 2**20)
