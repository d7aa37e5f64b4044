import pytest
import torch
from torch import Tensor

from fairlead.model import attention, layout, trunk
from fairlead.model.batch import Batch, collate
from fairlead.model.encode import Encoded
from fairlead.ops.logprobs import linear_logps, selected_logps
from fakes import MORE_SHAPES, SHAPES, network


def row(prompt: list[int], answer: list[int]) -> Encoded:
    return Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))


def uneven() -> Batch:
    """Three answers to one prompt, two to another, one to a third, mixed up."""
    rows = [
        row([5, 6, 7, 8], [10, 11, 12]),
        row([9, 6], [20, 21, 22, 23, 24]),
        row([5, 6, 7, 8], [30]),
        row([5, 6, 7, 8], [10, 41, 42, 43, 44, 45]),
        row([9, 6], [50, 51]),
        row([9, 6, 7], [20, 21]),
    ]
    return collate(rows, pad_id=0)


def plain_logps(shape: str, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Row by row, without any batch: the slow way."""
    model = network(shape)
    logps = torch.zeros(batch.tokens.shape)
    for i, length in enumerate(batch.lengths.tolist()):
        logits = model(input_ids=batch.tokens[i : i + 1, :length], use_cache=False).logits
        part = selected_logps(logits, batch.tokens[i : i + 1, :length], batch.response_mask[i : i + 1, :length])
        logps = logps.index_put((torch.full((length,), i), torch.arange(length)), part[0])
    (logps * weights(batch)).sum().backward()
    return logps.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def weights(batch: Batch) -> Tensor:
    return torch.linspace(-1, 1, batch.tokens.numel()).view(batch.tokens.shape)


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("kind", ["plain", "tree"])
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_every_layout_gives_the_log_probabilities_and_gradients_of_single_rows(shape: str, kind: str, products: bool) -> None:
    batch = uneven()
    expected, expected_grads = plain_logps(shape, batch)
    model = network(shape)
    if products:
        attention.use(model)
    lay = layout.plain(batch) if kind == "plain" else layout.tree(batch, pad_id=0)
    head = trunk.head_of(model)
    assert head is not None
    picked = batch.response_mask
    before = torch.cat([torch.zeros_like(lay.at[:, :1]), lay.at[:, :-1]], dim=1)
    hidden = trunk.hidden_states(model, lay)[before[picked]]
    found = torch.zeros(batch.tokens.shape).masked_scatter(picked, linear_logps(hidden, head, batch.tokens[picked], chunk_logits=900).logps)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    (found * weights(batch)).sum().backward()
    for name, parameter in model.named_parameters():
        if name in expected_grads:
            torch.testing.assert_close(parameter.grad, expected_grads[name], atol=2e-5, rtol=1e-4, msg=name)


def test_a_tree_holds_each_prompt_once() -> None:
    batch = uneven()
    lay = layout.tree(batch, pad_id=0)
    assert lay.tokens.shape == (3, 4 + 3 + 1 + 6)
    assert lay.tokens[0].tolist() == [5, 6, 7, 8, 10, 11, 12, 30, 10, 41, 42, 43, 44, 45]
    assert lay.positions is not None
    assert lay.positions[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 4, 4, 5, 6, 7, 8, 9]
    assert layout.saved_share(batch, layout.shared_prompts(batch)) == pytest.approx((4 * 2 + 2) / int(batch.token_mask.sum()))
    for i, length in enumerate(batch.lengths.tolist()):
        assert lay.tokens.flatten()[lay.at[i, :length]].tolist() == batch.tokens[i, :length].tolist()


def test_a_mask_shows_the_prompt_and_the_own_answer_only() -> None:
    lay = layout.tree(collate([row([1, 2], [3, 4]), row([1, 2], [5])], pad_id=0), pad_id=0)
    assert lay.mask is not None
    assert lay.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_rows_without_a_shared_prompt_stay_plain() -> None:
    batch = collate([row([1, 2], [3, 4]), row([1, 3], [5])], pad_id=0)
    assert layout.tree(batch, pad_id=0).mask is None
