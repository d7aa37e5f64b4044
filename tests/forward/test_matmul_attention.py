"""Attention over spans against PyTorch's own, one span at a time."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fairlead.forward.matmul_attention import MAX_SPAN, MAX_SPANS, attend, group_spans, span_mask
from fairlead.forward.span import Span

HEADS, KEY_HEADS, WIDTH = 4, 2, 8


def tensors(places: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(places, heads, WIDTH, generator=generator, requires_grad=True)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def side_by_side(lengths: list[int]) -> list[Span]:
    ends = list(itertools.accumulate(lengths))
    return [Span(end - length, end) for length, end in zip(lengths, ends, strict=True)]


def attended(inputs: list[Tensor], spans: list[Span]) -> Tensor:
    query, key, value = inputs
    return attend(query, key, value, span_mask(spans, spans[-1].end).groups, scale=0.3)


def alone(inputs: list[Tensor], span: Span) -> Tensor:
    """[T, H, D] of one span, its keys in a row: those seen, then its own."""
    seen = [i for start, end in span.visible for i in range(start, end)]
    own = list(range(span.start, span.end))
    causal = torch.ones(len(own), len(own), dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(len(own), len(seen), dtype=torch.bool), causal], dim=1)
    q, k, v = (
        tensor[index].transpose(0, 1)
        for tensor, index in zip(inputs, (own, seen + own, seen + own), strict=True)
    )
    group = HEADS // KEY_HEADS
    found: Tensor = scaled_dot_product_attention(
        q, k.repeat_interleave(group, 0), v.repeat_interleave(group, 0), attn_mask=mask, scale=0.3
    )
    return found.transpose(0, 1)


CASES = {
    "one place": side_by_side([1]),
    "equal": side_by_side([40] * 5),
    "unlike": side_by_side([3, 200, 31, 32, 33, 7, 90]),
    "longer than a product takes": side_by_side([2 * MAX_SPAN + 5, 20]),
    "more than a product takes": side_by_side([5] * (MAX_SPANS + 3)),
    # a prompt of 30 places with its first answer, and two more answers that see the prompt; then another text
    "a tree": [Span(0, 42), Span(42, 50, ((0, 30),)), Span(50, 80, ((0, 30),)), Span(80, 100)],
    "a tree whose answer is long": [Span(0, 20), Span(20, 30 + MAX_SPAN, ((0, 12),))],
}


@pytest.mark.parametrize("spans", CASES.values(), ids=CASES)
def test_spans_are_read_as_if_each_were_alone(spans: list[Span]) -> None:
    places = spans[-1].end
    inputs = tensors(places)
    found = attended(inputs, spans)
    expected = torch.cat([alone(inputs, span) for span in spans])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    wanted = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, wanted), torch.autograd.grad(expected, inputs, wanted), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_half_precision_stays_near_and_adds_up_in_float32() -> None:
    spans = CASES["a tree"]
    inputs = tensors(100)
    halves = [tensor.detach().bfloat16().requires_grad_() for tensor in inputs]
    found, expected = attended(halves, spans), attended(inputs, spans)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=2e-2)
    ours, theirs = (
        torch.autograd.grad(result.float().sum(), tensors)[2]
        for result, tensors in ((found, halves), (expected, inputs))
    )
    torch.testing.assert_close(ours.float(), theirs, atol=3e-2, rtol=2e-2)


def test_like_lengths_stand_together_in_powers_of_two() -> None:
    groups = group_spans(side_by_side([100] * 11 + [10]), 1110)
    assert [(group.num_spans, group.shape) for group in groups] == [
        (8, (128, 128)),
        (2, (128, 128)),
        (1, (128, 128)),
        (1, (32, 32)),
    ]


def test_a_long_span_is_not_computed_against_what_comes_after_it() -> None:
    shapes = [group.shape for group in span_mask([Span(0, 640)], 640).groups]
    assert sorted(shapes) == [(320, 320), (320, 640)]
