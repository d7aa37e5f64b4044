"""NEFTune: add noise to the embeddings of training rows.  arXiv:2310.05914"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fairlead.core.seed import derive_seed


def embedding_noise(
    lengths: Sequence[int], width: int, *, alpha: float, run_seed: int, step: int, rows: Sequence[int]
) -> Tensor:
    """Uniform noise in ±alpha / sqrt(L·H) on the L tokens of each row; zero on padding.  [B, T, H] on the CPU

    H is `width`; `rows` are the rows' positions in the step.  A row's noise depends on seed, step and
    position only, so it is the same in every micro-batch and after an interruption.
    """
    noise = torch.zeros(len(lengths), max(lengths), width)
    for i, (length, row) in enumerate(zip(lengths, rows, strict=True)):
        generator = torch.Generator().manual_seed(derive_seed(run_seed, "neftune", step, row))
        drawn = torch.rand(length, width, generator=generator) * 2 - 1
        noise[i, :length] = drawn * (alpha / (length * width) ** 0.5)
    return noise
