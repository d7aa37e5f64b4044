"""Attention on a CPU as batched matrix products over spans of similar length.

For texts of a few hundred tokens this is several times faster than PyTorch's fused CPU attention, most of
all in the backward pass.  Spans replace a C x C mask (`span.py`): spans of similar length are padded to one
size and computed together, so texts of any length can be concatenated, and padding exists inside attention
only.

Sizes are rounded and counts are powers of two, because oneDNN prepares bfloat16 products anew for every
shape: about a millisecond and half a megabyte each.

C places, H query heads in groups of G over K key heads, D size of a head.  In a group: n spans of T places
that attend to S places.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fairlead.forward.span import Span

ROUND_TO = 32  # places; also a size at which the CPU's softmax is fast
MAX_SPAN = (
    320  # places; a longer span is cut, so that its first part does not compute scores for later places
)
MAX_SPANS = 16  # spans per product
MAX_WASTE = 1.3  # products of a padded group / products of its spans alone


class SpanGroup(NamedTuple):
    """n spans, padded to T places each, that attend to S places: their own T, then the visible ones.

    Padding has the place number C.
    """

    num_spans: int  # n
    queries: Tensor  # [n * T] int64, place of each query
    keys: Tensor  # [n * S] int64, place of each key
    padding: Tensor  # indices in `queries` that are padding
    hidden: Tensor  # [n or 1, 1, T, S] bool, True where a query must not attend to a key

    @property
    def shape(self) -> tuple[int, int]:
        """T, S"""
        return self.hidden.shape[2], self.hidden.shape[3]

    @property
    def has_visible(self) -> bool:
        """Whether the spans attend to places outside themselves."""
        return self.shape[0] != self.shape[1]


class SpanMask(Tensor):
    """Span groups in the form of a mask: transformers passes a four-dimensional mask on to the attention
    unchanged.
    """

    groups: list[SpanGroup]


def span_mask(spans: Sequence[Span], num_places: int) -> SpanMask:
    """A mask that carries the groups of the spans.  Each place belongs to exactly one span."""
    # NaN: any other attention that uses this as an additive mask fails visibly.
    mask = torch.full((1, 1, 1, 1), torch.nan).as_subclass(SpanMask)
    mask.groups = group_spans(spans, num_places)
    return mask


def attend(query: Tensor, key: Tensor, value: Tensor, groups: Sequence[SpanGroup], *, scale: float) -> Tensor:
    """softmax(scale * q k) v within the groups.  [C, H, D], [C, K, D], [C, K, Dv] -> [C, H, Dv]"""
    result: Tensor = _Attention.apply(query, key, value, groups, scale)  # type: ignore[no-untyped-call]
    return result


def decode_step(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float) -> Tensor:
    """Attention of one new token in each of B rows, without gradients.

    [B, H, 1, D], [B, K, S, D], [B, K, S, D], mask [B, 1, 1, S] bool -> [B, 1, H, D]
    """
    rows, heads, _, size = query.shape
    _, key_heads, num_keys, _ = key.shape
    q = query.reshape(rows * key_heads, heads // key_heads, size)
    k = key.reshape(rows * key_heads, num_keys, -1)
    v = value.reshape(rows * key_heads, num_keys, -1)
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)  # [B K, G, S]
    if mask is not None:
        scores.view(rows, heads, 1, num_keys).masked_fill_(~mask, torch.finfo(scores.dtype).min)
    return torch.bmm(scores.softmax(dim=-1), v).view(rows, 1, heads, -1)


def group_spans(spans: Sequence[Span], num_places: int) -> list[SpanGroup]:
    """Group spans of similar size while padding stays below MAX_WASTE.  Long spans are cut first."""
    pieces = [piece for span in spans for piece in _cut(span)]
    pieces.sort(key=lambda piece: (bool(piece.visible), *_size(piece)), reverse=True)
    groups = []
    while pieces:
        count = next(n for n in _group_sizes() if n <= len(pieces) and (n == 1 or _fits(pieces[:n])))
        groups.append(_group(pieces[:count], num_places))
        pieces = pieces[count:]
    return groups


@lru_cache(maxsize=16)
def equal_length_groups(rows: int, length: int) -> list[SpanGroup]:
    """The groups of `rows` concatenated texts of one length."""
    return group_spans([Span(i * length, (i + 1) * length) for i in range(rows)], rows * length)


def _cut(span: Span) -> list[Span]:
    """Cut a span into equal pieces of at most MAX_SPAN places.  Each piece sees the pieces before it."""
    start, end, visible = span
    num_pieces = -(-(end - start) // MAX_SPAN)
    step = _rounded(-(-(end - start) // num_pieces))
    return [
        Span(i, min(end, i + step), visible + (((start, i),) if i > start else ()))
        for i in range(start, end, step)
    ]


def _size(span: Span) -> tuple[int, int]:
    """Places of the span and visible places, both rounded up."""
    return _rounded(span.end - span.start), _rounded(sum(end - start for start, end in span.visible))


def _rounded(count: int) -> int:
    return -(-count // ROUND_TO) * ROUND_TO


def _group_sizes() -> list[int]:
    """Powers of two, largest first."""
    return [2**n for n in range(MAX_SPANS.bit_length() - 1, -1, -1)]


def _fits(spans: Sequence[Span]) -> bool:
    """Whether the spans may share a group: all or none have visible places, and padding wastes little."""
    sizes = [_size(span) for span in spans]
    length = max(own for own, _ in sizes)
    width = max(visible for _, visible in sizes)
    if width and not all(visible for _, visible in sizes):
        return False
    needed = sum(own * (own + visible) for own, visible in sizes)
    return len(sizes) * length * (length + width) <= MAX_WASTE * needed


def _group(spans: Sequence[Span], num_places: int) -> SpanGroup:
    count = len(spans)
    sizes = [_size(span) for span in spans]
    length = max(own for own, _ in sizes)
    width = max(visible for _, visible in sizes)
    own_places = torch.full((count, length), num_places)
    visible_places = torch.full((count, width), num_places)
    for k, (start, end, visible) in enumerate(spans):
        own_places[k, : end - start] = torch.arange(start, end)
        column = 0
        for first, last in visible:
            visible_places[k, column : column + last - first] = torch.arange(first, last)
            column += last - first
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden = later[None, None]
    if width:
        absent = (visible_places == num_places)[:, None].expand(count, length, width)
        hidden = torch.cat([later.expand(count, length, length), absent], dim=2)[:, None]
    queries = own_places.flatten()
    keys = torch.cat([own_places, visible_places], dim=1).flatten()
    padding = (queries == num_places).nonzero().squeeze(1)
    return SpanGroup(count, queries, keys, padding, hidden)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[SpanGroup], scale: float
    ) -> Tensor:
        num_places, heads, _ = query.shape
        key_heads = key.shape[1]
        result = query.new_empty(
            num_places + 1, heads, value.shape[2]
        )  # padding is written to the last place
        saved: list[Tensor] = []
        for group in groups:
            length, num_keys = group.shape
            q = _gather_queries(query, group, key_heads)  # [n K, G T, D]
            k = _gather_keys(key, group)  # [n K, S, D]
            v = _gather_keys(value, group)  # [n K, S, Dv]
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
            # Not minus infinity: the softmax of a row in which every key is hidden must stay finite.
            lowest = torch.finfo(scores.dtype).min
            scores.view(group.num_spans, heads, length, num_keys).masked_fill_(group.hidden, lowest)
            weights = scores.softmax(dim=-1)
            _scatter_queries(result, group, torch.bmm(weights, v), key_heads)
            saved += [q, k, v, weights]
        ctx.save_for_backward(*saved)
        ctx.groups, ctx.scale, ctx.shapes = groups, scale, (query.shape, key.shape, value.shape)
        return result[:num_places]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query_shape, key_shape, value_shape = ctx.shapes
        saved = ctx.saved_tensors
        grad = grads[0]
        key_heads = key_shape[1]
        num_places = query_shape[0]
        grad_query = grad.new_empty(num_places + 1, *query_shape[1:])
        # A visible place is a key of several spans: its gradient is a sum, which is accumulated in float32.
        accumulate = any(group.has_visible for group in ctx.groups)
        grad_key, grad_value = (
            torch.zeros(num_places + 1, *shape[1:])
            if accumulate
            else grad.new_empty(num_places + 1, *shape[1:])
            for shape in (key_shape, value_shape)
        )
        for i, group in enumerate(ctx.groups):
            q, k, v, weights = saved[4 * i : 4 * i + 4]
            g = _gather_queries(grad, group, key_heads)
            grad_weights = torch.bmm(g, v.transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_scores = grad_scores.mul_(ctx.scale)
            _scatter_queries(grad_query, group, torch.bmm(grad_scores, k), key_heads)
            grad_k = torch.bmm(grad_scores.transpose(1, 2), q)
            _scatter_keys(grad_key, group, grad_k, accumulate=accumulate)
            grad_v = torch.bmm(weights.transpose(1, 2), g)
            _scatter_keys(grad_value, group, grad_v, accumulate=accumulate)
        return grad_query[:-1], grad_key[:-1].to(grad.dtype), grad_value[:-1].to(grad.dtype), None, None


def _gather_queries(tensor: Tensor, group: SpanGroup, key_heads: int) -> Tensor:
    """[C, H, D] -> [n K, G T, D], zero for padding"""
    _, heads, size = tensor.shape
    places = group.queries.clamp_max(len(tensor) - 1)
    rows = tensor.index_select(0, places).index_fill_(0, group.padding, 0)
    split = rows.view(group.num_spans, group.shape[0], key_heads, heads // key_heads, size)
    return split.permute(0, 2, 3, 1, 4).reshape(group.num_spans * key_heads, -1, size)


def _gather_keys(tensor: Tensor, group: SpanGroup) -> Tensor:
    """[C, K, D] -> [n K, S, D].  Padding holds arbitrary keys, which the mask hides."""
    _, key_heads, size = tensor.shape
    rows = tensor.index_select(0, group.keys.clamp_max(len(tensor) - 1))
    split = rows.view(group.num_spans, -1, key_heads, size)
    return split.transpose(1, 2).reshape(group.num_spans * key_heads, -1, size)


def _scatter_queries(total: Tensor, group: SpanGroup, part: Tensor, key_heads: int) -> None:
    """Write [n K, G T, D] to its places in [C + 1, H, D]."""
    _, heads, size = total.shape
    split = part.view(group.num_spans, key_heads, heads // key_heads, -1, size)
    total.index_copy_(0, group.queries, split.permute(0, 3, 1, 2, 4).reshape(-1, heads, size))


def _scatter_keys(total: Tensor, group: SpanGroup, part: Tensor, *, accumulate: bool) -> None:
    """Write [n K, S, D] to its places in [C + 1, K, D], or add it where a place may occur several times."""
    _, key_heads, size = total.shape
    split = part.view(group.num_spans, key_heads, -1, size)
    rows = split.transpose(1, 2).reshape(-1, key_heads, size)
    if accumulate:
        total.index_add_(0, group.keys, rows.float())
    else:
        total.index_copy_(0, group.keys, rows)
