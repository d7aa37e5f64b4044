"""Log-probabilities and entropies of next tokens.

Position t of a [B, T] result belongs to token t given the tokens before it; position 0 has no context.

`selected_logps` takes logits.  `linear_logps` takes hidden states, computes the logits of the selected
tokens in chunks, and recomputes them in the backward pass, so that no [tokens, V] tensor exists.

B rows, T tokens, N selected tokens, H hidden size, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

ROUND_TO = 64  # tokens; few distinct sizes, because oneDNN prepares bfloat16 products anew for each
# Logits in memory at one time.  On a CPU 8 MiB in float32, which stays close to the caches.  On a GPU 512
# MiB, because each chunk reads all weights of the head.
CHUNK_LOGITS = 1 << 21
GPU_CHUNK_LOGITS = 1 << 27


def selected_logps(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """log p(token t | tokens before t) where the mask selects t, zero elsewhere.

    logits [B, T, V], tokens [B, T], mask [B, T] -> [B, T] float32.  The mask must not select
    position 0.
    """
    picked = mask[:, 1:]
    rows = logits[:, :-1][picked].float()  # [N, V]: the softmax is computed for selected tokens only
    logps = torch.zeros(tokens.shape, dtype=torch.float32, device=logits.device)
    values = -F.cross_entropy(rows, tokens[:, 1:][picked], reduction="none")  # [N]
    index = F.pad(picked, (1, 0))
    return logps.masked_scatter(index, values)


class Head(NamedTuple):
    """The map from hidden states to logits: z = scale * (W h + b), then softcap * tanh(z / softcap) if
    softcap > 0.
    """

    weight: Tensor  # [V, H]
    bias: Tensor | None = None  # [V]
    scale: float = 1.0
    softcap: float = 0.0


class TokenLogps(NamedTuple):
    logps: Tensor  # [N] float32, differentiable
    entropy: Tensor  # [N] float32, entropy of the next-token distribution in nats; not differentiable


def linear_logps(hidden: Tensor, head: Head, targets: Tensor, *, chunk_logits: int = 0) -> TokenLogps:
    """log p(target | hidden) without holding all logits.  [N, H], head, [N] -> [N], [N]

    Equals log_softmax(logits)[targets].  Under autocast, matrix products use its dtype, as in the model.
    At most `chunk_logits` logits exist at one time; 0 takes the default of the device.
    """
    chunk_logits = chunk_logits or (CHUNK_LOGITS if hidden.device.type == "cpu" else GPU_CHUNK_LOGITS)
    count = len(hidden)
    if count > ROUND_TO and count % ROUND_TO:
        extra = ROUND_TO - count % ROUND_TO
        hidden, targets = F.pad(hidden, (0, 0, 0, extra)), F.pad(targets, (0, extra))
    logps, entropy = _LinearLogps.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, targets, head.scale, head.softcap, chunk_logits
    )
    return TokenLogps(logps[:count], entropy[:count])


class _LinearLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scale: float,
        softcap: float,
        chunk_logits: int,
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        rows = max(1, chunk_logits // weight.shape[0])
        with torch.autocast(device, enabled=False):
            h, w = hidden.detach().to(dtype), weight.detach().to(dtype)
            b = None if bias is None else bias.detach().to(dtype)
            head = Head(w, b, scale, softcap)
            # log sum exp z = top + rest, stored separately: with large logits, their sum would lose the
            # digits of likely tokens.
            logps, top, rest, entropy = (
                torch.empty(len(h), dtype=torch.float32, device=h.device) for _ in range(4)
            )
            for start in range(0, len(h), rows):
                part = slice(start, start + rows)
                z = head_logits(h[part], head)  # [rows, V] float32
                top[part] = z.amax(dim=1)
                z.sub_(top[part, None])
                picked = z.gather(1, targets[part, None]).squeeze(1)
                p = z.exp()
                total = p.sum(dim=1)
                rest[part] = total.log()
                logps[part] = picked - rest[part]
                entropy[part] = rest[part] - p.mul_(z).sum(dim=1) / total
        ctx.save_for_backward(h, w, b, targets, top, rest)
        ctx.settings = scale, softcap, rows, hidden.dtype, weight.dtype
        ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, w, b, targets, top, rest = ctx.saved_tensors
        scale, softcap, rows, hidden_dtype, weight_dtype = ctx.settings
        head = Head(w, b, scale, softcap)
        grad = grads[0].float()
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty(h.shape, dtype=hidden_dtype, device=h.device) if needs_hidden else None
        grad_weight = torch.zeros(w.shape, dtype=torch.float32, device=w.device) if needs_weight else None
        grad_bias = torch.zeros(w.shape[0], dtype=torch.float32, device=w.device) if needs_bias else None
        with torch.autocast(h.device.type, enabled=False):
            for start in range(0, len(h), rows):
                part = slice(start, start + rows)
                z = head_logits(h[part], head)
                slope = (1 - (z / softcap).square()) if softcap else None  # derivative of the soft cap
                # d loss / d z = grad * (onehot - p)
                d = z.sub_(top[part, None]).sub_(rest[part, None]).exp_().mul_(-grad[part, None])
                d.scatter_add_(1, targets[part, None], grad[part, None])
                if slope is not None:
                    d.mul_(slope)
                if scale != 1.0:
                    d.mul_(scale)
                if grad_bias is not None:
                    grad_bias += d.sum(dim=0)
                d = d.to(w.dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = d @ w
                if grad_weight is not None:
                    _add_product(grad_weight, d.T, h[part])
        grads_of_tensors = (
            grad_hidden,
            None if grad_weight is None else grad_weight.to(weight_dtype),
            None if grad_bias is None else grad_bias.to(weight_dtype),
        )
        return *grads_of_tensors, None, None, None, None


def head_logits(hidden: Tensor, head: Head) -> Tensor:
    """Logits of hidden states.  [n, H] -> [n, V] float32"""
    z = F.linear(hidden, head.weight, head.bias).float()
    if head.scale != 1.0:
        z = z * head.scale
    if head.softcap:
        z = head.softcap * torch.tanh(z / head.softcap)
    return z


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b, accumulated in float32."""
    if a.dtype == torch.float32:
        total.addmm_(a, b)
    else:
        total += a @ b
