"""Attention as transformers calls it, against softmax computed in a loop over queries and keys."""

import math

import pytest
import torch
from torch import Tensor, nn

from fairlead.forward import attention, flex_attention, matmul_attention
from fairlead.forward.span import Span
from fakes import network

ROWS = 2
HEADS = 4
KEY_HEADS = 2
SIZE = 8


class AttentionLayer(nn.Module):
    """The attributes of transformers' attention layers that `attend` reads."""

    num_key_value_groups = HEADS // KEY_HEADS

    def __init__(self, *, is_causal: bool = True) -> None:
        super().__init__()
        self.is_causal = is_causal


def inputs(num_queries: int, num_keys: int, *, rows: int = ROWS) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value.  [B, H, T, D], [B, K, S, D], [B, K, S, D]"""
    generator = torch.Generator().manual_seed(0)
    shapes = ((HEADS, num_queries), (KEY_HEADS, num_keys), (KEY_HEADS, num_keys))
    query, key, value = (torch.randn(rows, *shape, SIZE, generator=generator) for shape in shapes)
    return query, key, value


def softmax_by_loop(
    query: Tensor, key: Tensor, value: Tensor, allowed: list[list[list[int]]], scale: float
) -> Tensor:
    """`allowed[b][t]` lists the keys that query t of row b attends to.  [B, T, H, D]"""
    rows, heads, num_queries, size = query.shape
    result = torch.zeros(rows, num_queries, heads, size)
    for b in range(rows):
        for t in range(num_queries):
            for h in range(heads):
                key_head = h // (heads // key.shape[1])
                scores = [scale * float(query[b, h, t] @ key[b, key_head, s]) for s in allowed[b][t]]
                weights = [math.exp(score - max(scores)) for score in scores]
                for s, weight in zip(allowed[b][t], weights, strict=True):
                    result[b, t, h] += weight / sum(weights) * value[b, key_head, s]
    return result


def earlier(length: int) -> list[list[int]]:
    return [list(range(t + 1)) for t in range(length)]


def test_one_head_by_hand() -> None:
    # Scores of the second query: 2 * 0 and 2 * ln(3) / 2, so its weights are 1/4 and 3/4.
    # 0.25 * 8 + 0.75 * 4 = 5
    query = torch.tensor([1.0, 2.0]).view(1, 1, 2, 1)
    key = torch.tensor([0.0, math.log(3) / 2]).view(1, 1, 2, 1)
    value = torch.tensor([8.0, 4.0]).view(1, 1, 2, 1)
    result, weights = attention.attend(AttentionLayer(), query, key, value, None, scaling=1.0)
    assert weights is None and result.shape == (1, 2, 1, 1)
    torch.testing.assert_close(result.flatten(), torch.tensor([8.0, 5.0]))


@pytest.mark.parametrize("scaling", [None, 0.5])
def test_without_a_mask_attention_is_causal(scaling: float | None) -> None:
    query, key, value = inputs(5, 5)
    result, _ = attention.attend(AttentionLayer(), query, key, value, None, scaling=scaling)
    expected = softmax_by_loop(query, key, value, [earlier(5)] * ROWS, scaling or SIZE**-0.5)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_a_layer_that_is_not_causal_attends_to_every_key() -> None:
    query, key, value = inputs(5, 5)
    expected = softmax_by_loop(query, key, value, [[list(range(5))] * 5] * ROWS, SIZE**-0.5)
    by_module, _ = attention.attend(AttentionLayer(is_causal=False), query, key, value, None)
    by_argument, _ = attention.attend(AttentionLayer(), query, key, value, None, is_causal=False)
    torch.testing.assert_close(by_module, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(by_argument, expected, atol=1e-5, rtol=1e-5)


def test_a_dense_mask_selects_the_keys() -> None:
    query, key, value = inputs(3, 6)
    allowed = [[[0, 5], [1], [2, 3, 4]], [[0, 1, 2, 3, 4, 5], [5], [0, 2]]]
    mask = torch.zeros(ROWS, 1, 3, 6, dtype=torch.bool)
    for b, of_row in enumerate(allowed):
        for t, keys in enumerate(of_row):
            mask[b, 0, t, keys] = True
    result, _ = attention.attend(AttentionLayer(), query, key, value, mask)
    torch.testing.assert_close(
        result, softmax_by_loop(query, key, value, allowed, SIZE**-0.5), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_a_decoding_step_attends_to_the_cached_keys() -> None:
    query, key, value = inputs(1, 6)
    mask = torch.ones(ROWS, 1, 1, 6, dtype=torch.bool)
    mask[1, 0, 0, :2] = False  # the second row is padded on the left
    result, _ = attention.attend(AttentionLayer(), query, key, value, mask)
    expected = softmax_by_loop(query, key, value, [[list(range(6))], [[2, 3, 4, 5]]], SIZE**-0.5)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    result, _ = attention.attend(AttentionLayer(), query, key, value, None)
    expected = softmax_by_loop(query, key, value, [[list(range(6))]] * ROWS, SIZE**-0.5)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_spans_select_the_keys_of_a_packed_row() -> None:
    # A prompt of 3 places with two answers, of 2 and 3 places.
    spans = [Span(0, 5), Span(5, 8, ((0, 3),))]
    allowed = [*earlier(5), [0, 1, 2, 5], [0, 1, 2, 5, 6], [0, 1, 2, 5, 6, 7]]
    query, key, value = inputs(8, 8, rows=1)
    mask = matmul_attention.span_mask(spans, 8)
    result, _ = attention.attend(AttentionLayer(), query, key, value, mask, scaling=0.4, dropout=0.0)
    torch.testing.assert_close(
        result, softmax_by_loop(query, key, value, [allowed], 0.4), atol=1e-5, rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:.*without torch.compile:UserWarning")  # not compiled on a CPU
def test_a_block_mask_selects_the_keys_of_a_packed_row() -> None:
    # Two segments of 60 and 68 places; the second does not attend to the first.
    query, key, value = (tensor.detach() for tensor in inputs(128, 128, rows=1))
    segment = torch.tensor([0] * 60 + [1] * 68, dtype=torch.int32)
    mask = flex_attention.block_mask(segment, segment, [Span(0, 60), Span(60, 128)])
    allowed = [*earlier(60), *[[60 + s for s in keys] for keys in earlier(68)]]
    result, _ = attention.attend(AttentionLayer(), query, key, value, mask)
    torch.testing.assert_close(
        result, softmax_by_loop(query, key, value, [allowed], SIZE**-0.5), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("options", [{"softcap": 30.0}, {"s_aux": torch.zeros(HEADS)}, {"dropout": 0.1}])
def test_packed_rows_refuse_arguments_that_they_would_ignore(options: dict[str, object]) -> None:
    mask = matmul_attention.span_mask([Span(0, 4)], 4)
    (name,) = options
    with pytest.raises(NotImplementedError, match=f"packed rows does not support {name}"):
        attention.attend(AttentionLayer(), *inputs(4, 4, rows=1), mask, **options)  # type: ignore[arg-type]


def test_autocast_computes_in_bfloat16() -> None:
    query, key, value = inputs(5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        result, _ = attention.attend(AttentionLayer(), query, key, value, None)
    assert result.dtype == torch.bfloat16
    expected = softmax_by_loop(query, key, value, [earlier(5)] * ROWS, SIZE**-0.5)
    torch.testing.assert_close(result.float(), expected, atol=3e-2, rtol=3e-2)


def test_install_replaces_pytorchs_attention_and_uninstall_restores_it() -> None:
    model = network("llama")
    tokens = torch.arange(3, 9)[None]
    before = model(input_ids=tokens).logits
    assert not attention.is_installed(model)
    attention.install(model)
    assert attention.is_installed(model)
    torch.testing.assert_close(model(input_ids=tokens).logits, before, atol=1e-5, rtol=1e-5)
    attention.uninstall(model)
    assert not attention.is_installed(model) and model.config._attn_implementation == "sdpa"
    assert torch.equal(model(input_ids=tokens).logits, before)


def test_a_network_with_another_attention_is_left_alone() -> None:
    model = network("gemma2")
    attention.install(model)
    assert not attention.is_installed(model) and model.config._attn_implementation == "eager"
    attention.uninstall(model)
    assert model.config._attn_implementation == "eager"
