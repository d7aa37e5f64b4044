"""Log-probabilities and entropies of next tokens.  B rows, T tokens, N selected tokens, V vocabulary.

Alignment: position t of a `[B, T]` result speaks about *token t given the tokens before it*; position 0 has nothing before it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def selected_logps(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """log p(token t | tokens before t) where the mask selects t, zero elsewhere.

    logits [B, T, V], tokens [B, T], mask [B, T] -> [B, T] float32.  The mask must not select position 0.
    """
    picked = mask[:, 1:]
    rows = logits[:, :-1][picked].float()  # [N, V]: the softmax is taken only where the loss looks
    logps = torch.zeros(tokens.shape, dtype=torch.float32, device=logits.device)
    values = -F.cross_entropy(rows, tokens[:, 1:][picked], reduction="none")  # [N]
    index = F.pad(picked, (1, 0))
    return logps.masked_scatter(index, values)


def selected_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Entropy in nats of the distribution over token t, where the mask selects t.  [B, T, V], [B, T] -> [N]"""
    rows = logits[:, :-1][mask[:, 1:]].float()
    logps = torch.log_softmax(rows, dim=-1)
    return -(logps.exp() * logps).sum(dim=-1)
