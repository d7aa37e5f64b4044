import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers import PreTrainedModel

from fairlead.encoding.batching import Batch, collate, group_by_prompt
from fairlead.encoding.chat import Encoded
from fairlead.forward import attention, decoder, flex_attention, layout
from fairlead.forward.layout import Layout
from fairlead.forward.matmul_attention import SpanMask
from fairlead.ops.logprobs import linear_logps, selected_logps
from fakes import MORE_SHAPES, SHAPES, network

PACKED = (
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "gpt_neox",
    "gemma3",
    "phi3",
    "olmo2",
)  # those whose attention takes blocks


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
        part = selected_logps(
            logits, batch.tokens[i : i + 1, :length], batch.response_mask[i : i + 1, :length]
        )
        logps = logps.index_put((torch.full((length,), i), torch.arange(length)), part[0])
    (logps * weights(batch)).sum().backward()
    return logps.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def logps_in(lay: Layout, model: PreTrainedModel, batch: Batch) -> Tensor:
    head = decoder.output_head(model)
    assert head is not None
    picked = batch.response_mask
    before = torch.cat([torch.zeros_like(lay.token_index[:, :1]), lay.token_index[:, :-1]], dim=1)
    hidden = decoder.hidden_states(model, lay)[before[picked]]
    return torch.zeros(batch.tokens.shape).masked_scatter(
        picked, linear_logps(hidden, head, batch.tokens[picked], chunk_logits=900).logps
    )


def weights(batch: Batch) -> Tensor:
    return torch.linspace(-1, 1, batch.tokens.numel()).view(batch.tokens.shape)


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("kind", ["plain", "tree", "packed"])
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_every_layout_gives_the_log_probabilities_and_gradients_of_single_rows(
    shape: str, kind: str, products: bool
) -> None:
    batch = uneven()
    expected, expected_grads = plain_logps(shape, batch)
    model = network(shape)
    if products:
        attention.install(model)
    if kind == "packed" and not decoder.supports_packing(model, torch.device("cpu")):
        pytest.skip("this attention cannot be told by spans")
    lay = {
        "plain": layout.plain(batch),
        "tree": layout.tree(batch, pad_id=0),
        "packed": layout.packed(batch, pad_id=0, blocks=False),  # in spans
    }[kind]
    logps = logps_in(lay, model, batch)
    torch.testing.assert_close(logps, expected, atol=1e-5, rtol=1e-5)
    (logps * weights(batch)).sum().backward()
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
    assert layout.saved_frac(batch, group_by_prompt(batch)) == pytest.approx(
        (4 * 2 + 2) / int(batch.token_mask.sum())
    )
    for i, length in enumerate(batch.lengths.tolist()):
        assert lay.tokens.flatten()[lay.token_index[i, :length]].tolist() == batch.tokens[i, :length].tolist()


def test_a_mask_shows_the_prompt_and_the_own_answer_only() -> None:
    lay = layout.tree(collate([row([1, 2], [3, 4]), row([1, 2], [5])], pad_id=0), pad_id=0)
    assert isinstance(lay.mask, Tensor)
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


def long_rows(num_prompts: int, *, answers: int = 2, seed: int = 0) -> Batch:
    """Prompts and answers of 1 to 150 tokens: segments end inside blocks and extend over several blocks."""
    lengths = torch.Generator().manual_seed(seed)

    def tokens(most: int) -> list[int]:
        count = int(torch.randint(1, most + 1, (), generator=lengths))
        return torch.randint(3, 300, (count,), generator=lengths).tolist()

    prompts = [tokens(150) for _ in range(num_prompts)]
    rows = [row(prompt, tokens(150)) for prompt in prompts for _ in range(answers)]
    rows += [row([7] * 128, [8] * 128), row([9] * 256, [8] * 256)]
    return collate(rows, pad_id=0)


@pytest.mark.filterwarnings("ignore:.*without torch.compile:UserWarning")  # on a CPU it is run as it is
@pytest.mark.parametrize("shape", PACKED)
@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "spans"])
def test_packed_rows_give_the_log_probabilities_of_single_rows(shape: str, blocks: bool) -> None:
    batch = collate([*(encoded for encoded in rows_of(uneven())), *rows_of(long_rows(2))], pad_id=0)
    batch = batch.rows(
        [i for i, length in enumerate(batch.lengths.tolist()) if length <= 256]
    )  # what the shapes were made for
    model = network(shape)
    attention.install(model)
    expected, _ = plain_logps(shape, batch)
    lay = layout.packed(batch, pad_id=0, blocks=blocks)
    assert (
        isinstance(lay.mask, BlockMask if blocks else SpanMask)
        and lay.tokens.shape[1] > 3 * flex_attention.BLOCK
    )
    with torch.no_grad():
        logps = logps_in(lay, model, batch)
    torch.testing.assert_close(logps, expected, atol=1e-5, rtol=1e-5)


def rows_of(batch: Batch) -> list[Encoded]:
    return [
        Encoded(tuple(tokens[real].tolist()), tuple(trained[real].tolist()))
        for tokens, real, trained in zip(batch.tokens, batch.token_mask, batch.response_mask, strict=True)
    ]


def test_a_packed_row_is_padded_at_its_end_only() -> None:
    batch = long_rows(6, answers=1)
    lay = layout.packed(batch, pad_id=0, blocks=True)
    assert lay.tokens.shape == (1, -(-int(batch.token_mask.sum()) // 128) * 128)
    for i, length in enumerate(batch.lengths.tolist()):
        at = lay.token_index[i, :length]
        assert lay.tokens.flatten()[at].tolist() == batch.tokens[i, :length].tolist()
        assert lay.positions is not None and lay.positions.flatten()[at].tolist() == list(range(length))
