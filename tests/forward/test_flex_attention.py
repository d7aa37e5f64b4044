"""FlexAttention: block masks and attention against loops over all pairs of places."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.forward import flex_attention, layout
from fairlead.forward.flex_attention import BLOCK
from fairlead.forward.matmul_attention import SpanMask
from fairlead.forward.span import Span


def row(prompt: list[int], answer: list[int]) -> Encoded:
    return Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))


def long_rows(num_prompts: int, *, answers: int = 2, seed: int = 0) -> Batch:
    """Prompts and answers of 1 to 150 tokens.

    Segments end inside blocks and at the ends of blocks, and some extend over several blocks.
    """
    lengths = torch.Generator().manual_seed(seed)

    def tokens(longest: int) -> list[int]:
        count = int(torch.randint(1, longest + 1, (), generator=lengths))
        return torch.randint(3, 300, (count,), generator=lengths).tolist()

    prompts = [tokens(150) for _ in range(num_prompts)]
    rows = [row(prompt, tokens(150)) for prompt in prompts for _ in range(answers)]
    rows += [row([7] * 128, [8] * 128), row([9] * 256, [8] * 256)]
    return collate(rows, pad_id=0)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_and_spans_describe_the_same_pairs(seed: int) -> None:
    batch = long_rows(4, answers=1 + seed % 3, seed=seed)
    arranged = layout.packed(batch, pad_id=0, blocks=True)
    spans = layout.packed(batch, pad_id=0, blocks=False).mask
    assert isinstance(arranged.mask, BlockMask) and isinstance(spans, SpanMask)
    width = arranged.tokens.shape[1]
    pairs = torch.zeros(width + 1, width + 1, dtype=torch.bool)
    for group in spans.groups:
        own, keys = group.queries.view(group.num_spans, -1), group.keys.view(group.num_spans, -1)
        pairs[own[:, :, None], keys[:, None, :]] |= ~group.hidden[:, 0]
    pairs = pairs[:width, :width]

    def may_attend(row: Tensor, head: Tensor, place: Tensor, other: Tensor) -> Tensor:
        return pairs[place, other]

    expected = create_block_mask(may_attend, 1, 1, width, width, device="cpu")
    assert torch.equal(attending_pairs(arranged.mask), pairs)
    # Few blocks without an attending pair are computed.
    assert int(arranged.mask.kv_num_blocks.sum()) < 1.5 * int(expected.kv_num_blocks.sum())


def attending_pairs(mask: BlockMask) -> Tensor:
    """All pairs as a kernel reads them: full blocks, and the mask function in partial blocks.  [C, C] bool"""
    assert mask.kv_num_blocks.shape[:2] == (1, 1)
    assert mask.full_kv_num_blocks is not None and mask.full_kv_indices is not None
    width = mask.shape[-1]
    pairs = torch.zeros(width, width, dtype=torch.bool)
    places = torch.arange(width)
    allowed = mask.mask_mod(torch.tensor(0), torch.tensor(0), places[:, None], places[None, :])
    for i in range(width // BLOCK):
        down = slice(i * BLOCK, (i + 1) * BLOCK)
        for j in mask.kv_indices[0, 0, i, : int(mask.kv_num_blocks[0, 0, i])].tolist():
            across = slice(j * BLOCK, (j + 1) * BLOCK)
            pairs[down, across] = allowed[down, across]
        for j in mask.full_kv_indices[0, 0, i, : int(mask.full_kv_num_blocks[0, 0, i])].tolist():
            pairs[down, j * BLOCK : (j + 1) * BLOCK] = True
    return pairs


# ---------------------------------------------------------------- against loops


class Segments(NamedTuple):
    """A packed row, described twice: as segments and as spans."""

    segment: Tensor  # [C]
    prompt_segment: Tensor  # [C]
    spans: list[Span]


def packed_segments(trees: list[tuple[int, list[int]]]) -> Segments:
    """Prompts with answers of these lengths, then padding up to a multiple of BLOCK."""
    segments: list[int] = []
    prompt_segments: list[int] = []
    spans: list[Span] = []
    number = 0
    for prompt_length, answer_lengths in trees:
        prompt_start = len(segments)
        prompt_number = number
        prompt_end = prompt_start + prompt_length
        for index, length in enumerate([prompt_length, *answer_lengths]):
            if index == 1:
                spans.append(Span(prompt_start, prompt_end + length))
            elif index > 1:
                spans.append(Span(len(segments), len(segments) + length, ((prompt_start, prompt_end),)))
            segments += [number] * length
            prompt_segments += [prompt_number] * length
            number += 1
    padding = -len(segments) % BLOCK
    if padding:
        spans.append(Span(len(segments), len(segments) + padding))
    segments += [-1] * padding
    prompt_segments += [-1] * padding
    return Segments(
        torch.tensor(segments, dtype=torch.int32), torch.tensor(prompt_segments, dtype=torch.int32), spans
    )


def pairs_by_loop(packed: Segments) -> Tensor:
    """A place attends to itself and to earlier places of its own segment and of its prompt.  [C, C] bool"""
    segments = packed.segment.tolist()
    prompts = packed.prompt_segment.tolist()
    rows = []
    for query in range(len(segments)):
        visible = {segments[query], prompts[query]}
        rows.append([key <= query and segments[key] in visible for key in range(len(segments))])
    return torch.tensor(rows)


TREES: dict[str, list[tuple[int, list[int]]]] = {
    "one text that fills two blocks": [(100, [156])],
    "answers that end inside blocks": [(100, [60, 90, 5])],
    "answers that end at the ends of blocks": [(128, [128, 128])],
    "a long prompt with short answers": [(300, [3, 4]), (2, [1, 1])],
    "many short texts": [(7, [9])] * 20,
}


@pytest.mark.parametrize("trees", TREES.values(), ids=TREES)
def test_a_block_mask_is_the_rule_for_all_pairs(trees: list[tuple[int, list[int]]]) -> None:
    packed = packed_segments(trees)
    assert torch.equal(attending_pairs(flex_attention.block_mask(*packed)), pairs_by_loop(packed))


def test_blocks_by_hand() -> None:
    # One text of three blocks: the diagonal is partial, and the blocks below it are full.
    segment = torch.zeros(3 * BLOCK, dtype=torch.int32)
    mask = flex_attention.block_mask(segment, segment, [Span(0, 3 * BLOCK)])
    assert mask.full_kv_num_blocks is not None and mask.full_kv_indices is not None
    assert mask.kv_num_blocks.flatten().tolist() == [1, 1, 1]
    assert mask.kv_indices[0, 0, :, 0].tolist() == [0, 1, 2]
    assert mask.full_kv_num_blocks.flatten().tolist() == [0, 1, 2]
    assert mask.full_kv_indices[0, 0, 2, :2].tolist() == [0, 1]
    # Three texts of one block each: nothing below the diagonal.
    segment = torch.arange(3, dtype=torch.int32).repeat_interleave(BLOCK)
    spans = [Span(start, start + BLOCK) for start in (0, BLOCK, 2 * BLOCK)]
    mask = flex_attention.block_mask(segment, segment, spans)
    assert mask.full_kv_num_blocks is not None
    assert mask.kv_num_blocks.flatten().tolist() == [1, 1, 1]
    assert mask.full_kv_num_blocks.flatten().tolist() == [0, 0, 0]


@pytest.mark.filterwarnings("ignore:.*without torch.compile:UserWarning")  # not compiled on a CPU
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@torch.no_grad()
def test_attention_is_a_softmax_over_the_visible_places(key_heads: int) -> None:
    packed = packed_segments([(100, [60, 90, 5]), (30, [40])])
    width = len(packed.segment)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, width, 16, generator=generator)
    key, value = torch.randn(2, 1, key_heads, width, 16, generator=generator)
    result = flex_attention.attend(query, key, value, flex_attention.block_mask(*packed), scale=0.3)
    assert result.shape == (1, width, 4, 16)
    pairs = pairs_by_loop(packed)
    for head in range(4):
        key_head = head // (4 // key_heads)
        for place in range(width):
            visible = pairs[place]
            scores = 0.3 * (key[0, key_head, visible] @ query[0, head, place])
            expected = scores.exp() / scores.exp().sum() @ value[0, key_head, visible]
            torch.testing.assert_close(result[0, place, head], expected, atol=1e-5, rtol=1e-5)
