"""Backends: the layout of a batch, micro-batches of groups, modules, and autocast."""

import pytest
import torch
from torch import Tensor

from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.forward import attention, fused_ops
from fairlead.forward.backend import Backend, default_backend
from fairlead.forward.layout import ROUND_TO
from fairlead.forward.matmul_attention import SpanMask
from fakes import HYBRID, network


def row(prompt: list[int], answer: list[int]) -> Encoded:
    return Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))


def two_answers() -> Batch:
    """Two answers to a prompt of four tokens: 6 and 7 tokens, 9 tokens as a tree."""
    return collate([row([5, 6, 7, 8], [10, 11]), row([5, 6, 7, 8], [12, 13, 14])], pad_id=0)


def test_padded_rows_have_a_padding_mask() -> None:
    batch = two_answers()
    arranged = Backend(padded=True, packed=True).layout(batch, network("llama"), pad_id=0)
    assert torch.equal(arranged.tokens, batch.tokens)
    assert isinstance(arranged.mask, Tensor) and torch.equal(arranged.mask, batch.token_mask)


@pytest.mark.parametrize(("share", "num_tokens"), [(True, 9), (False, 13)])
def test_packed_rows_are_one_row_with_spans(share: bool, num_tokens: int) -> None:
    arranged = Backend(packed=True).layout(two_answers(), network("llama"), pad_id=0, share=share)
    assert arranged.tokens.shape == (1, ROUND_TO)
    assert int((arranged.tokens != 0).sum()) == num_tokens
    assert isinstance(arranged.mask, SpanMask)


def test_shared_prompts_make_a_tree() -> None:
    arranged = Backend().layout(two_answers(), network("llama"), pad_id=0)
    assert arranged.tokens.tolist() == [[5, 6, 7, 8, 10, 11, 12, 13, 14]]


@pytest.mark.parametrize(("backend", "share"), [(Backend(share_prompts=False), True), (Backend(), False)])
def test_without_sharing_rows_stay_rows(backend: Backend, share: bool) -> None:
    batch = two_answers()
    arranged = backend.layout(batch, network("llama"), pad_id=0, share=share)
    assert torch.equal(arranged.tokens, batch.tokens) and arranged.mask is None


@pytest.mark.parametrize("packed", [True, False])
def test_rows_stay_rows_where_a_window_is_shorter_than_the_tree(packed: bool) -> None:
    windowed = network("mistral")
    windowed.config.sliding_window = 4
    batch = two_answers()
    arranged = Backend(packed=packed).layout(batch, windowed, pad_id=0)
    assert torch.equal(arranged.tokens, batch.tokens) and arranged.mask is None


def test_micro_batches_count_a_shared_prompt_once() -> None:
    # Each group: a prompt of 4 tokens with answers of 2 and 3 tokens.  As a tree 9 tokens, padded 2 * 7 = 14.
    group = (row([5, 6, 7, 8], [10, 11]), row([5, 6, 7, 8], [12, 13, 14]))
    groups = [group] * 4
    assert sorted(map(len, Backend().micro_groups(groups, 18))) == [2, 2]
    assert sorted(map(len, Backend(share_prompts=False).micro_groups(groups, 18))) == [1, 1, 1, 1]
    assert sorted(map(len, Backend(share_prompts=False).micro_groups(groups, 28))) == [2, 2]
    together = Backend(packed=True).micro_groups(groups, 36)
    assert sorted(together[0]) == [0, 1, 2, 3] and len(together) == 1


def test_modules_are_installed_and_removed() -> None:
    model = network("llama")
    tokens = torch.arange(3, 9)[None]
    plain = model(input_ids=tokens).logits
    Backend().apply_modules(model)
    assert attention.is_installed(model)
    forwards = [module.forward for module in model.modules()]
    Backend().apply_modules(model)
    assert [module.forward for module in model.modules()] == forwards
    torch.testing.assert_close(model(input_ids=tokens).logits, plain, atol=1e-4, rtol=1e-5)
    Backend(fused_modules=False).apply_modules(model)
    assert not attention.is_installed(model)
    assert torch.equal(model(input_ids=tokens).logits, plain)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("pure-bfloat16", torch.float32)],
)
def test_only_bfloat16_uses_autocast(precision: str, dtype: torch.dtype) -> None:
    linear = torch.nn.Linear(4, 4)
    with Backend(precision=precision).autocast(torch.device("cpu")):  # type: ignore[arg-type]
        assert linear(torch.ones(1, 4)).dtype == dtype


def test_the_default_backend_allows_what_the_network_supports() -> None:
    model = network("llama")
    assert default_backend(model) == Backend(fused_modules=False, share_prompts=True)
    attention.install(model)
    fused_ops.install(model)
    assert default_backend(model) == Backend(fused_modules=True, share_prompts=True)
    assert default_backend(network(HYBRID)) == Backend(fused_modules=False, share_prompts=False)
