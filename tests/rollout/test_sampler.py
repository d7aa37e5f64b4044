import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from fairlead.core.seed import derive_seed
from fairlead.encoding.batching import collate
from fairlead.forward import decoder
from fairlead.model.adapters import Lora
from fairlead.rollout import sampler, slots
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fairlead.rollout.sampling import uniforms
from fairlead.rollout.training_rows import training_row
from fakes import HYBRID, MORE_SHAPES, SHAPES, network, policy, tokenizer, turns

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
]
LENGTH = 24


def slow(
    model: PreTrainedModel,
    prompt: Sequence[int],
    params: SamplingParams,
    numbers: Tensor,
    stop_ids: frozenset[int],
) -> tuple[list[int], list[float], str]:
    """One row without a cache: every token reads the whole text again, and the inverse of the distribution is
    a loop.
    """
    tokens = list(prompt)
    drawn, logps = [], []
    for t in range(params.max_new_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].double()
        if params.temperature == 0:
            probabilities = logits.softmax(-1)
            token = int(logits.argmax())
        else:
            probabilities = (logits / params.temperature).softmax(-1)
            if params.top_k:
                kept = set(probabilities.argsort(descending=True)[: params.top_k].tolist())
                probabilities = torch.tensor(
                    [float(p) if i in kept else 0.0 for i, p in enumerate(probabilities)]
                ).double()
            token, passed = 0, float(probabilities[0])
            target = float(numbers[t]) * float(probabilities.sum())
            while passed <= target:
                token += 1
                passed += float(probabilities[token])
        drawn.append(token)
        logps.append(float((probabilities[token] / probabilities.sum()).log()))
        if token in stop_ids:
            return drawn, logps, "stop"
        tokens.append(token)
    return drawn, logps, "length"


def stops() -> frozenset[int]:
    """So many stop tokens that some rows end early, some at once and some never."""
    return frozenset(range(0, len(tokenizer()), 20))


def run(
    model: PreTrainedModel, params: SamplingParams, prompts: Sequence[Sequence[int]] = PROMPTS, **options: Any
) -> list[Rollout]:
    request = SampleRequest(
        prompts=prompts,
        params=params,
        seed=options.pop("seed", 5),
        row_ids=options.pop("row_ids", None),
    )
    return sample(model, request, pad_id=0, **{"stop_ids": stops()} | options)


def check_against_slow(model: PreTrainedModel, params: SamplingParams) -> list[Rollout]:
    found = run(model, params)
    for i, (prompt, rollout) in enumerate(zip(PROMPTS, found, strict=True)):
        numbers = uniforms([derive_seed(5, "sample", i)], LENGTH)[0]
        tokens, logps, finish = slow(model, prompt, params, numbers, stops())
        assert (rollout.prompt_tokens, list(rollout.tokens), rollout.finish_reason) == (
            prompt,
            tokens,
            finish,
        )
        assert (
            max(abs(one - other) for one, other in zip(rollout.logps, logps, strict=True)) < 1e-4
        )  # of order 5
    return found


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES, HYBRID])
def test_rollouts_equal_those_of_a_slow_loop_without_cache(shape: str) -> None:
    found = check_against_slow(network(shape), SamplingParams(max_new_tokens=LENGTH, temperature=0.7))
    if shape in SHAPES:
        assert len({len(rollout.tokens) for rollout in found}) > 1  # rows end at different times
    if shape == "llama":
        assert {rollout.finish_reason for rollout in found} == {"stop", "length"}


def test_top_k_equals_the_slow_loop() -> None:
    check_against_slow(network("llama"), SamplingParams(max_new_tokens=LENGTH, temperature=1.3, top_k=5))


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_temperature_zero_is_greedy(shape: str) -> None:
    found = check_against_slow(network(shape), SamplingParams(max_new_tokens=LENGTH, temperature=0))
    assert [rollout.tokens for rollout in found] == [
        rollout.tokens for rollout in run(network(shape), _greedy(), seed=6)
    ]


def _greedy() -> SamplingParams:
    return SamplingParams(max_new_tokens=LENGTH, temperature=0)


def test_sliding_window_attention_equals_the_slow_loop() -> None:
    config = copy.deepcopy(network("mistral").config)
    assert isinstance(config, MistralConfig)
    config.sliding_window = 6
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        check_against_slow(
            MistralForCausalLM(config).eval(), SamplingParams(max_new_tokens=LENGTH, temperature=0.7)
        )


@pytest.mark.parametrize("num_slots", [1, 2, 128])
def test_a_response_does_not_depend_on_the_batch(num_slots: int) -> None:
    params = SamplingParams(max_new_tokens=LENGTH, temperature=0.7)
    together = run(network("llama"), params, num_slots=128)
    found = run(network("llama"), params, num_slots=num_slots)
    for one, other in zip(together, found, strict=True):
        assert (one.prompt_tokens, one.tokens, one.finish_reason) == (
            other.prompt_tokens,
            other.tokens,
            other.finish_reason,
        )
        assert max(abs(a - b) for a, b in zip(one.logps, other.logps, strict=True)) < 1e-4


def test_row_ids_keep_the_responses_when_prompts_are_sampled_in_parts() -> None:
    params = SamplingParams(max_new_tokens=LENGTH)
    whole = run(network("llama"), params)
    parts = [
        *run(network("llama"), params, PROMPTS[:2]),
        *run(network("llama"), params, PROMPTS[2:], row_ids=range(2, len(PROMPTS))),
    ]
    assert [rollout.tokens for rollout in parts] == [rollout.tokens for rollout in whole]


def test_equal_prompts_and_different_seeds_give_different_responses() -> None:
    params = SamplingParams(max_new_tokens=LENGTH)
    found = run(network("llama"), params)
    assert found[0].prompt_tokens == found[4].prompt_tokens and found[0].tokens != found[4].tokens
    assert run(network("llama"), params) == found
    assert run(network("llama"), params, seed=6) != found


def test_a_response_ends_with_a_stop_token_or_at_max_new_tokens() -> None:
    found = run(network("llama"), SamplingParams(max_new_tokens=LENGTH, temperature=0.7))
    for rollout in found:
        assert len(rollout.logps) == len(rollout.tokens)
        assert not stops() & set(rollout.tokens[:-1])
        if rollout.finished:
            assert rollout.tokens[-1] in stops()
        else:
            assert len(rollout.tokens) == LENGTH and rollout.tokens[-1] not in stops()


def test_a_stop_token_in_the_last_position_is_a_stop() -> None:
    model, params = network("llama"), SamplingParams(max_new_tokens=LENGTH, temperature=0.7)
    stopped = next(rollout for rollout in run(model, params) if rollout.finished and len(rollout.tokens) > 1)
    row = [rollout.tokens for rollout in run(model, params)].index(stopped.tokens)
    exact = run(model, SamplingParams(max_new_tokens=len(stopped.tokens), temperature=0.7))[row]
    shorter = run(model, SamplingParams(max_new_tokens=len(stopped.tokens) - 1, temperature=0.7))[row]
    assert (exact.tokens, exact.finish_reason) == (stopped.tokens, "stop")
    assert (shorter.tokens, shorter.finish_reason) == (stopped.tokens[:-1], "length")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lora", [None, Lora(4, 8)])
def test_sampler_log_probabilities_equal_those_of_the_policy(
    tmp_path: Path, shape: str, lora: Lora | None
) -> None:
    made = policy(tmp_path / "base", shape, lora=lora)
    prompts = [
        made.encode_prompt(turns(asked))
        for asked in ("What is it?", "Tell me a story about a fox and a dog.", "One?")
    ]
    request = SampleRequest(prompts=prompts, params=SamplingParams(max_new_tokens=LENGTH), seed=0)
    rollouts = sample(made.network, request, stop_ids=made.stop_ids, pad_id=made.pad_id)
    batch = collate([training_row(rollout) for rollout in rollouts], pad_id=made.pad_id)
    with torch.no_grad():
        logps = made.token_logps(batch)
    for row, rollout in zip(logps, rollouts, strict=True):
        start = len(rollout.prompt_tokens)
        again = row[start : start + len(rollout.tokens)]
        assert (again - torch.tensor(rollout.logps)).abs().max() < 1e-4  # of order 5
        assert row.sum().item() == pytest.approx(sum(rollout.logps), abs=1e-3)


# ---------------------------------------------------------------- continuous batching


def test_a_prompt_is_prefilled_once_for_all_of_its_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    num_read: list[int] = []
    prefill = decoder.prefill

    def counted(network: PreTrainedModel, tokens: Tensor, *rest: Any) -> Tensor:
        num_read.append(len(tokens))
        return prefill(network, tokens, *rest)

    monkeypatch.setattr(decoder, "prefill", counted)
    prompts = [PROMPTS[1]] * 5 + [PROMPTS[2]] * 4
    found = run(network("llama"), SamplingParams(max_new_tokens=LENGTH, temperature=0.7), prompts)
    assert sum(num_read) == 2
    assert len({rollout.tokens for rollout in found}) > 5  # each row has its own random numbers


def test_one_prefill_reads_at_most_the_budgeted_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    prefill = decoder.prefill

    def counted(network: PreTrainedModel, tokens: Tensor, *rest: Any) -> Tensor:
        read.append((tokens.shape[0], tokens.shape[1]))
        return prefill(network, tokens, *rest)

    monkeypatch.setattr(decoder, "prefill", counted)
    params, prompts = SamplingParams(max_new_tokens=LENGTH, temperature=0.7), PROMPTS * 3
    expected = run(network("llama"), params, prompts)
    assert [rows for rows, _ in read] == [5]  # all distinct prompts in one prefill
    read.clear()
    monkeypatch.setattr(sampler, "PREFILL_TOKENS", 16)
    found = run(network("llama"), params, prompts)
    assert sum(rows for rows, _ in read) == 5 and len(read) > 2
    assert all(rows * width <= 16 or rows == 1 for rows, width in read) and any(rows > 1 for rows, _ in read)
    assert [rollout.tokens for rollout in found] == [rollout.tokens for rollout in expected]


@pytest.mark.parametrize("shape", ["llama", "gemma2"])
def test_growing_slots_keep_their_content(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    monkeypatch.setattr(slots, "GROWTH", 3)
    check_against_slow(network(shape), SamplingParams(max_new_tokens=LENGTH, temperature=0.7))


@pytest.mark.parametrize("num_slots", [1, 3, 8])
def test_slots_are_refilled_as_responses_end(num_slots: int) -> None:
    prompts = PROMPTS * 4
    max_lengths = [1 + (7 * i) % LENGTH for i in range(len(prompts))]
    params = SamplingParams(max_new_tokens=LENGTH, temperature=0.7)
    expected = run(network("llama"), params, prompts, max_lengths=max_lengths, num_slots=100)
    rollouts = run(network("llama"), params, prompts, max_lengths=max_lengths, num_slots=num_slots)
    assert [rollout.tokens for rollout in rollouts] == [rollout.tokens for rollout in expected]
    limited = list(zip(rollouts, max_lengths, strict=True))
    assert all(len(rollout.tokens) <= max_length for rollout, max_length in limited)
    assert any(len(rollout.tokens) == max_length and not rollout.finished for rollout, max_length in limited)


def test_the_free_slot_of_a_response_that_ended_at_once_does_not_advance() -> None:
    # One long prompt with a response of one token, beside four short prompts with long responses.  The free
    # slot is too small a share to be dropped, and must not advance past the end of the cache.
    prompts = [PROMPTS[3] * 3, *[PROMPTS[2]] * 4]
    max_lengths = [1, *[40] * 4]
    params = SamplingParams(max_new_tokens=40)
    never: frozenset[int] = frozenset()
    rollouts = run(network("llama"), params, prompts, stop_ids=never, max_lengths=max_lengths, num_slots=5)
    assert [len(rollout.tokens) for rollout in rollouts] == max_lengths
    alone = run(network("llama"), params, prompts[1:2], stop_ids=never, row_ids=[1])
    assert rollouts[1].tokens == alone[0].tokens


def test_a_stop_string_ends_a_response() -> None:
    words = tokenizer()

    def decode(tokens: Sequence[int]) -> str:
        return str(words.decode(list(tokens)))

    free = run(network("llama"), SamplingParams(max_new_tokens=LENGTH), stop_ids=frozenset())
    stop = decode(free[1].tokens[4:6])
    params = SamplingParams(max_new_tokens=LENGTH, stop=(stop,))
    rollout = run(network("llama"), params, stop_ids=frozenset(), decode=decode)[1]
    assert rollout.finished and len(rollout.tokens) <= 6
    assert stop in decode(rollout.tokens) and stop not in decode(rollout.tokens[:-1])


def test_no_prompts_give_no_rollouts() -> None:
    assert run(network("llama"), SamplingParams(max_new_tokens=LENGTH), []) == []


def test_autocast_to_bfloat16_samples_nearly_the_same_distribution() -> None:
    model, params = network("qwen3"), SamplingParams(max_new_tokens=4, temperature=0.7)
    whole = run(model, params)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(model, params)
    assert [rollout.tokens for rollout in found] and len(found) == len(whole)
    same = [i for i in range(len(found)) if found[i].tokens[0] == whole[i].tokens[0]]
    assert same and all(abs(found[i].logps[0] - whole[i].logps[0]) < 0.2 for i in same)
