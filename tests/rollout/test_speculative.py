"""Drafts save time and change nothing: the same tokens as without them, and the present policy's
distribution.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from fairlead.forward import decoder
from fairlead.rollout import sampler, speculative
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fakes import HYBRID, MORE_SHAPES, SHAPES, network, shake, tokenizer

PROMPTS = [
    tuple(tokenizer()(text, add_special_tokens=False)["input_ids"])
    for text in (
        "What is it?",
        "Tell me a story about a fox.",
        "W",
        "The sky is blue, and the grass is green.",
        "What is it?",
        "One two",
    )
] * 3
LENGTH = 24
PARAMS = SamplingParams(max_new_tokens=LENGTH, temperature=0.7)
STOPS = frozenset(range(0, len(tokenizer()), 20))


def run(
    model: PreTrainedModel,
    params: SamplingParams = PARAMS,
    drafts: Sequence[Sequence[int]] | None = None,
    **options: Any,
) -> list[Rollout]:
    request = SampleRequest(prompts=PROMPTS, params=params, seed=7, drafts=drafts)
    return sample(model, request, pad_id=0, **{"stop_ids": STOPS} | options)


def moved(shape: str, *, scale: float) -> PreTrainedModel:
    """The policy after some training."""
    made = copy.deepcopy(network(shape))
    shake(dict(made.named_parameters()), scale=scale)
    return made


def tokens(rollouts: Sequence[Rollout]) -> list[tuple[int, ...]]:
    return [rollout.tokens for rollout in rollouts]


def check_equal(found: Sequence[Rollout], expected: Sequence[Rollout]) -> None:
    assert tokens(found) == tokens(expected)
    assert [(one.prompt_tokens, one.finish_reason) for one in found] == [
        (one.prompt_tokens, one.finish_reason) for one in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert max(abs(a - b) for a, b in zip(one.logps, other.logps, strict=True)) < 1e-4  # of order 5


@pytest.mark.parametrize("scale", [0.0, 0.0005, 0.02])
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_answers_are_the_same_with_drafts_and_without(shape: str, scale: float) -> None:
    old = run(network(shape))
    now = moved(shape, scale=scale)
    expected = run(now)
    found = run(now, drafts=tokens(old))
    check_equal(found, expected)
    for one, before in zip(found, old, strict=True):
        assert one.tokens[: one.num_reused] == before.tokens[: one.num_reused]
        ended = one.num_reused == len(one.tokens) or one.num_reused == LENGTH - 1
        assert (
            ended
            or one.num_reused == len(before.tokens)
            or one.tokens[one.num_reused] != before.tokens[one.num_reused]
        )
    if scale == 0:
        assert all(one.num_reused >= min(len(one.tokens), LENGTH - 1) for one in found)
    else:
        assert tokens(old) != tokens(expected)
    if scale < 0.01:
        assert sum(one.num_reused for one in found) > 0.2 * sum(len(one.tokens) for one in found)


def test_a_model_that_is_sampled_in_padded_batches_reuses_nothing() -> None:
    old = run(network(HYBRID))
    found = run(moved(HYBRID, scale=0.01), drafts=tokens(old))
    check_equal(found, run(moved(HYBRID, scale=0.01)))
    assert not any(one.num_reused for one in found)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(max_new_tokens=LENGTH, temperature=0),
        SamplingParams(max_new_tokens=LENGTH, temperature=1.3, top_k=5),
        SamplingParams(max_new_tokens=LENGTH, top_p=0.8, min_p=0.02),
        SamplingParams(max_new_tokens=5, temperature=0.7),
        SamplingParams(max_new_tokens=1, temperature=0.7),
    ],
)
def test_drafts_may_come_from_other_params(params: SamplingParams) -> None:
    now = moved("llama", scale=0.003)
    check_equal(run(now, params, drafts=tokens(run(network("llama")))), run(now, params))


def test_drafts_may_be_anything() -> None:
    model = network("llama")
    expected = run(model)
    good = tokens(expected)
    stop = min(STOPS)
    strange: list[tuple[int, ...]] = [
        (),
        (stop,),
        (stop,) * 50,
        (3,) * LENGTH,
        good[4] + (3, 3),
        good[5][:2],
        good[7],
        (*good[7], stop),
        good[8][:1] + (stop, 5),
    ]
    given = [*strange, *strange]
    check_equal(run(model, drafts=given), expected)
    check_equal(run(model, drafts=given, num_slots=2), expected)


def test_limits_and_stop_strings_hold_within_a_draft() -> None:
    words = tokenizer()

    def decode(token_ids: Sequence[int]) -> str:
        return str(words.decode(list(token_ids)))

    now = moved("llama", scale=0.003)
    old = run(network("llama"), stop_ids=frozenset())
    max_lengths = [1 + (7 * i) % LENGTH for i in range(len(PROMPTS))]
    params = SamplingParams(
        max_new_tokens=LENGTH, temperature=0.7, stop=(decode(old[1].tokens[4:6]), decode(old[3].tokens[1:2]))
    )
    options: dict[str, Any] = {"stop_ids": frozenset(), "decode": decode, "max_lengths": max_lengths}
    found = run(now, params, drafts=tokens(old), **options)
    check_equal(found, run(now, params, **options))
    stopped = [one for one in found if one.finished]
    assert any(one.num_reused == len(one.tokens) > 1 for one in stopped)


def test_a_good_draft_takes_one_pass_and_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("llama")
    answers = run(model)
    passes: list[int] = []

    def counted(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        passes.append(kwargs["input_ids"].shape[1])

    handle = decoder.base_network(model).base_model.register_forward_pre_hook(counted, with_kwargs=True)
    run(model)
    assert len(passes) > LENGTH / 2
    passes.clear()
    monkeypatch.setattr(sampler, "CHUNK_LOGITS", 1000)  # two places at a time
    found = run(model, drafts=tokens(answers))
    handle.remove()
    check_equal(found, answers)
    assert len(passes) == 1


def test_the_logits_over_a_draft_are_made_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    honest = decoder.output_logits

    def counted(model: PreTrainedModel, hidden: Tensor) -> Tensor:
        made.append(len(hidden))
        return honest(model, hidden)

    monkeypatch.setattr(decoder, "output_logits", counted)
    model = network("llama")
    answers = tokens(run(model))
    made.clear()
    monkeypatch.setattr(sampler, "CHUNK_LOGITS", 7 * len(tokenizer()))
    run(model, drafts=answers)
    assert max(made) == 7 and sum(made) > 100


def test_the_longest_right_beginning_by_hand() -> None:
    drawn = tensor([[4, 7, 3, 9], [4, 7, 7, 2], [1, 7, 7, 2], [4, 0, 0, 0]])
    draft = tensor([[4, 7, 7, 2], [4, 7, 7, -1], [4, 7, 7, 2], [-1, -1, -1, -1]])
    assert speculative.num_accepted(drawn, draft).tolist() == [2, 3, 0, 0]


def test_a_table_gives_back_what_was_kept() -> None:
    table = speculative.empty_draft_table(4, 3)
    assert speculative.read_drafts(table, [2, 0]) == [[], []]
    speculative.store_drafts(
        table, [2, 0], [Rollout((1,), (7, 0, 9), (-1.0,) * 3, "length"), Rollout((1,), (5,), (-1.0,), "stop")]
    )
    speculative.store_drafts(table, [2], [Rollout((1,), (4, 0), (-1.0,) * 2, "stop")])
    assert speculative.read_drafts(table, [0, 1, 2]) == [[5], [], [4, 0]]


# ---------------------------------------------------------------- the distribution

ROWS = 100_000
WORDS = 4


def tiny(seed: int) -> PreTrainedModel:
    """Four tokens, each with a probability that depends on the one before it."""
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        initializer_range=0.7,
        tie_word_embeddings=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: PreTrainedModel = LlamaForCausalLM(config).eval()
        return made


@torch.no_grad()
def of_pairs(model: PreTrainedModel) -> Tensor:
    """The probability of every answer of two tokens to the prompt 0, from the whole texts.  [16] float64"""
    first = model(input_ids=tensor([[0]])).logits[0, -1].double().softmax(-1)
    second = (
        model(input_ids=tensor([[0, token] for token in range(WORDS)])).logits[:, -1].double().softmax(-1)
    )
    together: Tensor = (first[:, None] * second).flatten()
    return together


def distance(answers: Tensor, exact: Tensor) -> float:
    """Total variation between how often answers begin with each pair and how often they should."""
    pairs = answers[:, 0] * WORDS + answers[:, 1]
    return 0.5 * float((torch.bincount(pairs, minlength=WORDS * WORDS) / len(answers) - exact).abs().sum())


@pytest.mark.slow
def test_drafts_leave_the_present_policys_distribution() -> None:
    # 100 000 answers in 16 classes: chance alone is at most 0.4 * sqrt(16 / 100 000) = 0.005 away.  The bound
    # must pass the method and catch one whose distribution is wrong by 0.01: drafts that are kept, right or
    # wrong, in that share of the rows that makes it 0.01.
    bound = 0.006
    before, now = tiny(0), tiny(1)
    exact, stale = of_pairs(now), of_pairs(before)
    apart = 0.5 * float((exact - stale).abs().sum())
    assert apart > 0.2
    options: dict[str, Any] = {"stop_ids": frozenset(), "pad_id": 0, "num_slots": 4096}
    request = SampleRequest(prompts=[(0,)] * ROWS, params=SamplingParams(max_new_tokens=3), seed=3)
    old = tokens(sample(before, request, **options))
    found = sample(now, replace(request, drafts=old), **options)
    assert 0.2 < sum(one.num_reused for one in found) / (2 * ROWS) < 0.8
    right, drafted = tensor(tokens(found)), tensor(old)
    assert distance(drafted, stale) < bound and distance(drafted, exact) > 0.2
    assert distance(right, exact) < bound
    lenient = torch.rand(ROWS, generator=torch.Generator().manual_seed(0)) < 0.01 / apart
    assert distance(torch.where(lenient[:, None], drafted, right), exact) > bound
