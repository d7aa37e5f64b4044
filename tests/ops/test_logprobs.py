import math

import pytest
import torch
from pytest import approx
from torch import Tensor, tensor

from fairlead.ops.logprobs import Head, linear_logps, selected_logps

LOGITS = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)) * 2
TOKENS = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(1))
MASK = tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [0, 1, 1, 0, 0]]).bool()


def slow_logps(logits: Tensor, tokens: Tensor, mask: Tensor) -> list[list[float]]:
    """log softmax written out: the logits at t - 1 speak about the token at t."""
    found = [[0.0] * tokens.shape[1] for _ in range(tokens.shape[0])]
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            if mask[b, t]:
                row = logits[b, t - 1].tolist()
                found[b][t] = row[int(tokens[b, t])] - math.log(sum(math.exp(x) for x in row))
    return found


def test_two_tokens_by_hand() -> None:
    # p(token 1) = 3 / (1 + 3) after the first token; the logits at the last position speak about a token that
    # is not there
    logits = tensor([[[0.0, math.log(3)], [50.0, 0.0]]])
    logps = selected_logps(logits, tensor([[0, 1]]), tensor([[False, True]]))
    assert logps[0].tolist() == approx([0.0, math.log(0.75)], abs=1e-6)


def test_it_is_the_logarithm_of_the_softmax_at_the_position_before() -> None:
    found = selected_logps(LOGITS, TOKENS, MASK)
    assert (found - tensor(slow_logps(LOGITS, TOKENS, MASK))).abs().max() < 1e-5  # of order 5


def test_it_is_zero_where_the_mask_does_not_select() -> None:
    assert selected_logps(LOGITS, TOKENS, MASK)[~MASK].tolist() == [0.0] * 9


def test_a_shifted_alignment_would_be_seen() -> None:
    shifted = LOGITS.roll(1, dims=1)
    assert (selected_logps(shifted, TOKENS, MASK) - selected_logps(LOGITS, TOKENS, MASK)).abs().max() > 0.1


def test_gradients_are_those_of_the_softmax() -> None:
    # d/dz of log softmax(z)[k] = onehot(k) - softmax(z), at the position before each selected token and
    # nowhere else
    logits = LOGITS.clone().requires_grad_()
    selected_logps(logits, TOKENS, MASK).sum().backward()
    expected = torch.zeros_like(LOGITS)
    for b in range(3):
        for t in range(1, 5):
            if MASK[b, t]:
                row = LOGITS[b, t - 1].exp() / LOGITS[b, t - 1].exp().sum()
                expected[b, t - 1] = -row
                expected[b, t - 1, TOKENS[b, t]] += 1
    assert logits.grad is not None
    assert (logits.grad - expected).abs().max() < 1e-6  # of order 1


def test_half_precision_logits_are_raised_before_the_softmax() -> None:
    logps = selected_logps(LOGITS.bfloat16(), TOKENS, MASK)
    assert logps.dtype == torch.float32
    assert (logps - tensor(slow_logps(LOGITS.bfloat16().float(), TOKENS, MASK))).abs().max() < 1e-5


# ---------------------------------------------------------------- from hidden states, in chunks

HIDDEN = torch.randn(11, 6, generator=torch.Generator().manual_seed(2))
WEIGHT = torch.randn(7, 6, generator=torch.Generator().manual_seed(3))
BIAS = torch.randn(7, generator=torch.Generator().manual_seed(4))
TARGETS = torch.randint(0, 7, (11,), generator=torch.Generator().manual_seed(5))
UPSTREAM = torch.linspace(-1, 2, 11)


def all_at_once(hidden: Tensor, head: Head) -> Tensor:
    """log softmax of all logits.  [N, V]"""
    z = head.scale * (hidden @ head.weight.T + (0 if head.bias is None else head.bias))
    return torch.log_softmax(head.softcap * torch.tanh(z / head.softcap) if head.softcap else z, dim=1)


@pytest.mark.parametrize("chunk_logits", [7, 30, 10_000])
@pytest.mark.parametrize(
    ("bias", "scale", "softcap"), [(False, 1.0, 0.0), (True, 1.0, 0.0), (True, 0.25, 0.0), (True, 2.0, 3.0)]
)
def test_chunks_equal_the_whole_with_their_gradients(
    bias: bool, scale: float, softcap: float, chunk_logits: int
) -> None:
    def leaves() -> tuple[Tensor, Head]:
        head = Head(
            WEIGHT.clone().requires_grad_(), BIAS.clone().requires_grad_() if bias else None, scale, softcap
        )
        return HIDDEN.clone().requires_grad_(), head

    hidden, head = leaves()
    whole = all_at_once(hidden, head)
    expected = whole.gather(1, TARGETS[:, None]).squeeze(1)
    (expected * UPSTREAM).sum().backward()
    chunked_hidden, chunked_head = leaves()
    found = linear_logps(chunked_hidden, chunked_head, TARGETS, chunk_logits=chunk_logits)
    (found.logps * UPSTREAM).sum().backward()
    assert (found.logps - expected).abs().max() < 1e-5
    assert (found.entropy + (whole.exp() * whole).sum(dim=1)).abs().max() < 1e-5
    assert not found.entropy.requires_grad
    pairs = [(hidden, chunked_hidden), (head.weight, chunked_head.weight)]
    if head.bias is not None and chunked_head.bias is not None:
        pairs.append((head.bias, chunked_head.bias))
    for left, right in pairs:
        assert left.grad is not None and right.grad is not None
        assert (left.grad - right.grad).abs().max() < 1e-5


def test_entropy_by_hand() -> None:
    # fair coin: ln 2 = 0.6931;  3 to 1: -(0.75 ln 0.75 + 0.25 ln 0.25) = 0.5623
    head = Head(torch.eye(2))
    found = linear_logps(tensor([[0.0, 0.0], [math.log(3), 0.0]]), head, tensor([0, 0]))
    assert found.entropy.tolist() == approx([math.log(2), 0.5623], abs=1e-4)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden = HIDDEN.clone().requires_grad_()
    weight = WEIGHT.clone()
    linear_logps(hidden, Head(weight), TARGETS).logps.sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_under_autocast_only_the_products_are_rounded() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_logps(HIDDEN, Head(WEIGHT), TARGETS).logps
    logits = (HIDDEN.bfloat16() @ WEIGHT.bfloat16().T).float()
    assert found.dtype == torch.float32
    assert (
        found - torch.log_softmax(logits, dim=1).gather(1, TARGETS[:, None]).squeeze(1)
    ).abs().max() < 1e-5
