"""Attention on a CPU as matrix products, over stretches of like length.

C places, H query heads in groups of G over K key heads, D per head.

For texts of a few hundred tokens the processor's matrix products are several times faster than the fused attention that PyTorch has for
it, most of all backward.  What may look at what is told by stretches, not by a mask of C x C: stretches of like length are padded to one
size and computed together, so texts of any length can stand one after the other and only attention itself ever sees padding.

Sizes are rounded and counts are powers of two, because oneDNN prepares its bfloat16 products anew for every shape, at about a
millisecond and half a megabyte each.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairlead.forward.span import Span

ROUND = 32  # places; also what the processor's softmax is fast at
LONGEST = 320  # places of one stretch: a longer one is cut, so that its first part does not look at what comes after
MOST = 16  # stretches in one product
WASTE = 1.3  # products of a group over those of its stretches alone


class Group(NamedTuple):
    """n stretches of T places each, which look at S places: their own T, then those seen.  Padding has the number C."""

    num: int  # n
    own: Tensor  # [n * T] the place of each query
    keys: Tensor  # [n * S] of each key
    padding: Tensor  # where `own` is padding
    hidden: Tensor  # [n or 1, 1, T, S] bool: what must not be looked at

    @property
    def shape(self) -> tuple[int, int]:
        return self.hidden.shape[2], self.hidden.shape[3]

    @property
    def sees_others(self) -> bool:
        return self.shape[0] != self.shape[1]


class SpanMask(Tensor):
    """Groups in the form of a mask: transformers hands a mask of four dimensions on to the attention as it is."""

    groups: list[Group]


def span_mask(stretches: Sequence[Span], places: int) -> SpanMask:
    """What the stretches say, in groups.  Every one of the places stands in one stretch."""
    mask = torch.full((1, 1, 1, 1), torch.nan).as_subclass(
        SpanMask
    )  # an attention that takes it for numbers must not go unseen
    mask.groups = group_spans(stretches, places)
    return mask


def attend(query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group], *, scale: float) -> Tensor:
    """softmax(scale * q k) v over the groups.  [C, H, D], [C, K, D], [C, K, Dv] -> [C, H, Dv]"""
    result: Tensor = _Attention.apply(query, key, value, groups, scale)  # type: ignore[no-untyped-call]
    return result


def decode_step(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float) -> Tensor:
    """One new place in each of B rows, without gradients.  [B, H, 1, D], [B, K, S, D] twice, [B, 1, 1, S] bool -> [B, 1, H, D]"""
    (rows, heads, _, width), (_, key_heads, places, _) = query.shape, key.shape
    q = query.reshape(rows * key_heads, heads // key_heads, width)
    k, v = (tensor.reshape(rows * key_heads, places, -1) for tensor in (key, value))
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)  # [B K, G, S]
    if mask is not None:
        scores.view(rows, heads, 1, places).masked_fill_(~mask, torch.finfo(scores.dtype).min)
    return torch.bmm(scores.softmax(dim=-1), v).view(rows, 1, heads, -1)


def group_spans(stretches: Sequence[Span], places: int) -> list[Group]:
    """SpanMask of like size together, as far as that wastes little; long ones are cut first."""
    parts = [part for stretch in stretches for part in _cut(stretch)]
    parts.sort(key=lambda part: (bool(part.seen), *_size(part)), reverse=True)
    found = []
    while parts:
        count = next(n for n in _powers() if n <= len(parts) and (n == 1 or _fit(parts[:n])))
        found.append(_group(parts[:count], places))
        parts = parts[count:]
    return found


@lru_cache(maxsize=16)
def equal_length_groups(rows: int, length: int) -> list[Group]:
    """The groups of so many texts of one length, one after the other."""
    return group_spans([Span(i * length, (i + 1) * length) for i in range(rows)], rows * length)


def _cut(stretch: Span) -> list[Span]:
    """Equal parts that are not too long; each sees the parts before it."""
    start, end, seen = stretch
    parts = -(-(end - start) // LONGEST)
    step = _rounded(-(-(end - start) // parts))
    return [
        Span(i, min(end, i + step), seen + (((start, i),) if i > start else ()))
        for i in range(start, end, step)
    ]


def _size(stretch: Span) -> tuple[int, int]:
    """Places of its own, and seen, both rounded up."""
    return _rounded(stretch.end - stretch.start), _rounded(sum(end - start for start, end in stretch.seen))


def _rounded(count: int) -> int:
    return -(-count // ROUND) * ROUND


def _powers() -> list[int]:
    return [2**n for n in range(MOST.bit_length() - 1, -1, -1)]


def _fit(stretches: Sequence[Span]) -> bool:
    sizes = [_size(stretch) for stretch in stretches]
    own, seen = max(own for own, _ in sizes), max(seen for _, seen in sizes)
    if seen and not all(other for _, other in sizes):
        return False
    return len(sizes) * own * (own + seen) <= WASTE * sum(own * (own + seen) for own, seen in sizes)


def _group(stretches: Sequence[Span], places: int) -> Group:
    count = len(stretches)
    sizes = [_size(stretch) for stretch in stretches]
    length, width = max(own for own, _ in sizes), max(seen for _, seen in sizes)
    own = torch.full((count, length), places)
    seen = torch.full((count, width), places)
    for k, (start, end, ranges) in enumerate(stretches):
        own[k, : end - start] = torch.arange(start, end)
        column = 0
        for first, last in ranges:
            seen[k, column : column + last - first] = torch.arange(first, last)
            column += last - first
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden = later[None, None]
    if width:
        absent = (seen == places)[:, None].expand(count, length, width)
        hidden = torch.cat([later.expand(count, length, length), absent], dim=2)[:, None]
    flat = own.flatten()
    return Group(
        count, flat, torch.cat([own, seen], dim=1).flatten(), (flat == places).nonzero().squeeze(1), hidden
    )


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group], scale: float
    ) -> Tensor:
        (places, heads, _), key_heads, width = query.shape, key.shape[1], value.shape[2]
        result = query.new_empty(places + 1, heads, width)  # the last one is where padding goes
        kept: list[Tensor] = []
        for group in groups:
            length, keys = group.shape
            q = _queries(query, group, key_heads)  # [n K, G T, D]
            k, v = (_keys(tensor, group) for tensor in (key, value))  # [n K, S, D]
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
            low = torch.finfo(
                scores.dtype
            ).min  # not minus infinity: a row that may look at nothing must stay a number
            scores.view(group.num, heads, length, keys).masked_fill_(group.hidden, low)
            weights = scores.softmax(dim=-1)
            _put(result, group, torch.bmm(weights, v), key_heads)
            kept += [q, k, v, weights]
        ctx.save_for_backward(*kept)
        ctx.groups, ctx.scale, ctx.shapes = groups, scale, (query.shape, key.shape, value.shape)
        return result[:places]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (query_shape, key_shape, value_shape), kept = ctx.shapes, ctx.saved_tensors
        grad, key_heads, places = grads[0], key_shape[1], query_shape[0]
        again = any(group.sees_others for group in ctx.groups)  # then a key's gradient is a sum, in float32
        grad_query = grad.new_empty(places + 1, *query_shape[1:])
        grad_key, grad_value = (
            torch.zeros(places + 1, *shape[1:]) if again else grad.new_empty(places + 1, *shape[1:])
            for shape in (key_shape, value_shape)
        )
        for i, group in enumerate(ctx.groups):
            q, k, v, weights = kept[4 * i : 4 * i + 4]
            g = _queries(grad, group, key_heads)
            grad_weights = torch.bmm(g, v.transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype).mul_(
                ctx.scale
            )
            _put(grad_query, group, torch.bmm(grad_scores, k), key_heads)
            _add(grad_key, group, torch.bmm(grad_scores.transpose(1, 2), q), again=again)
            _add(grad_value, group, torch.bmm(weights.transpose(1, 2), g), again=again)
        return grad_query[:-1], grad_key[:-1].to(grad.dtype), grad_value[:-1].to(grad.dtype), None, None


def _queries(tensor: Tensor, group: Group, key_heads: int) -> Tensor:
    """[C, H, D] -> [n K, G T, D], zeros where padding is"""
    _, heads, width = tensor.shape
    taken = tensor.index_select(0, group.own.clamp_max(len(tensor) - 1)).index_fill_(0, group.padding, 0)
    apart = taken.view(group.num, group.shape[0], key_heads, heads // key_heads, width)
    return apart.permute(0, 2, 3, 1, 4).reshape(group.num * key_heads, -1, width)


def _keys(tensor: Tensor, group: Group) -> Tensor:
    """[C, K, D] -> [n K, S, D]; what stands where padding is does not matter"""
    _, key_heads, width = tensor.shape
    taken = tensor.index_select(0, group.keys.clamp_max(len(tensor) - 1))
    return (
        taken.view(group.num, -1, key_heads, width).transpose(1, 2).reshape(group.num * key_heads, -1, width)
    )


def _put(total: Tensor, group: Group, part: Tensor, key_heads: int) -> None:
    """[n K, G T, D] into [C + 1, H, D]"""
    _, heads, width = total.shape
    apart = part.view(group.num, key_heads, heads // key_heads, -1, width)
    total.index_copy_(0, group.own, apart.permute(0, 3, 1, 2, 4).reshape(-1, heads, width))


def _add(total: Tensor, group: Group, part: Tensor, *, again: bool) -> None:
    """[n K, S, D] into [C + 1, K, D], or onto it where a place is met again"""
    _, key_heads, width = total.shape
    apart = part.view(group.num, key_heads, -1, width).transpose(1, 2).reshape(-1, key_heads, width)
    if again:
        total.index_add_(0, group.keys, apart.float())
    else:
        total.index_copy_(0, group.keys, apart)
