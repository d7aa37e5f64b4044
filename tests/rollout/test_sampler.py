import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, MistralConfig, MistralForCausalLM, PreTrainedModel

from fairlead.core.seed import derive_seed
from fairlead.encoding.batching import collate
from fairlead.forward import decoder
from fairlead.model.adapters import Lora
from fairlead.rollout import sampler, slots
from fairlead.rollout.records import Rollout, Sampling
from fairlead.rollout.sampler import sample
from fairlead.rollout.sampling import uniforms
from fairlead.rollout.training_rows import answered
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
    settings: Sampling,
    numbers: Tensor,
    stop_ids: frozenset[int],
) -> tuple[list[int], list[float], str]:
    """One row alone, without a cache: the whole text is read again for every token, and the inverse is a loop."""
    tokens = list(prompt)
    drawn, logps = [], []
    for t in range(settings.max_new_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].double()
        if settings.temperature == 0:
            probabilities = logits.softmax(-1)
            token = int(logits.argmax())
        else:
            probabilities = (logits / settings.temperature).softmax(-1)
            if settings.top_k:
                kept = set(probabilities.argsort(descending=True)[: settings.top_k].tolist())
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
    """Enough of them that some rows end early, some at once and some never."""
    return frozenset(range(0, len(tokenizer()), 20))


def run(
    model: PreTrainedModel, settings: Sampling, prompts: Sequence[Sequence[int]] = PROMPTS, **options: Any
) -> list[Rollout]:
    return sample(
        model, prompts, settings, stop_ids=stops(), pad_id=0, run_seed=options.pop("run_seed", 5), **options
    )


def check_against_slow(model: PreTrainedModel, settings: Sampling) -> list[Rollout]:
    found = run(model, settings)
    for i, (prompt, rollout) in enumerate(zip(PROMPTS, found, strict=True)):
        numbers = uniforms([derive_seed(5, "sample", i)], LENGTH)[0]
        tokens, logps, finish = slow(model, prompt, settings, numbers, stops())
        assert (rollout.prompt_tokens, list(rollout.tokens), rollout.finish) == (prompt, tokens, finish)
        assert (
            max(abs(one - other) for one, other in zip(rollout.logps, logps, strict=True)) < 1e-4
        )  # of order 5
    return found


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES, HYBRID])
def test_it_equals_a_slow_loop_without_cache(shape: str) -> None:
    found = check_against_slow(network(shape), Sampling(max_new_tokens=LENGTH, temperature=0.7))
    if shape in SHAPES:
        assert len({len(rollout.tokens) for rollout in found}) > 1  # rows left the batch at different times
    if shape == "llama":
        assert {rollout.finish for rollout in found} == {"stop", "length"}


def test_it_equals_a_slow_loop_with_top_k() -> None:
    check_against_slow(network("llama"), Sampling(max_new_tokens=LENGTH, temperature=1.3, top_k=5))


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_temperature_zero_takes_the_likeliest_token(shape: str) -> None:
    found = check_against_slow(network(shape), Sampling(max_new_tokens=LENGTH, temperature=0))
    assert [rollout.tokens for rollout in found] == [
        rollout.tokens for rollout in run(network(shape), _greedy(), run_seed=6)
    ]


def _greedy() -> Sampling:
    return Sampling(max_new_tokens=LENGTH, temperature=0)


def test_attention_over_a_short_window_is_sampled_right() -> None:
    config = copy.deepcopy(network("mistral").config)
    assert isinstance(config, MistralConfig)
    config.sliding_window = 6
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        check_against_slow(
            MistralForCausalLM(config).eval(), Sampling(max_new_tokens=LENGTH, temperature=0.7)
        )


@pytest.mark.parametrize("slots", [1, 2, 128])
def test_an_answer_does_not_depend_on_the_batch(slots: int) -> None:
    settings = Sampling(max_new_tokens=LENGTH, temperature=0.7)
    together = run(network("llama"), settings, slots=128)
    found = run(network("llama"), settings, slots=slots)
    for one, other in zip(together, found, strict=True):
        assert (one.prompt_tokens, one.tokens, one.finish) == (
            other.prompt_tokens,
            other.tokens,
            other.finish,
        )
        assert max(abs(a - b) for a, b in zip(one.logps, other.logps, strict=True)) < 1e-4


def test_rows_keep_their_numbers_when_prompts_are_sampled_in_parts() -> None:
    settings = Sampling(max_new_tokens=LENGTH)
    whole = run(network("llama"), settings)
    parts = [
        *run(network("llama"), settings, PROMPTS[:2]),
        *run(network("llama"), settings, PROMPTS[2:], rows=range(2, len(PROMPTS))),
    ]
    assert [rollout.tokens for rollout in parts] == [rollout.tokens for rollout in whole]


def test_equal_prompts_get_answers_of_their_own_and_seeds_differ() -> None:
    settings = Sampling(max_new_tokens=LENGTH)
    found = run(network("llama"), settings)
    assert found[0].prompt_tokens == found[4].prompt_tokens and found[0].tokens != found[4].tokens
    assert run(network("llama"), settings) == found
    assert run(network("llama"), settings, run_seed=6) != found


def test_an_answer_ends_with_its_stop_token_or_at_the_length() -> None:
    found = run(network("llama"), Sampling(max_new_tokens=LENGTH, temperature=0.7))
    for rollout in found:
        assert len(rollout.logps) == len(rollout.tokens)
        assert not stops() & set(rollout.tokens[:-1])
        if rollout.finish == "stop":
            assert rollout.tokens[-1] in stops()
        else:
            assert len(rollout.tokens) == LENGTH and rollout.tokens[-1] not in stops()


def test_a_stop_token_at_the_last_place_is_a_stop() -> None:
    model, settings = network("llama"), Sampling(max_new_tokens=LENGTH, temperature=0.7)
    stopped = next(
        rollout for rollout in run(model, settings) if rollout.finish == "stop" and len(rollout.tokens) > 1
    )
    row = [rollout.tokens for rollout in run(model, settings)].index(stopped.tokens)
    exact = run(model, Sampling(max_new_tokens=len(stopped.tokens), temperature=0.7))[row]
    shorter = run(model, Sampling(max_new_tokens=len(stopped.tokens) - 1, temperature=0.7))[row]
    assert (exact.tokens, exact.finish) == (stopped.tokens, "stop")
    assert (shorter.tokens, shorter.finish) == (stopped.tokens[:-1], "length")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lora", [None, Lora(4, 8)])
def test_the_samplers_log_probabilities_are_the_policys(
    tmp_path: Path, shape: str, lora: Lora | None
) -> None:
    made = policy(tmp_path / "base", shape, lora=lora)
    prompts = [
        made.encode_prompt(turns(asked))
        for asked in ("What is it?", "Tell me a story about a fox and a dog.", "One?")
    ]
    rollouts = sample(
        made.network,
        prompts,
        Sampling(max_new_tokens=LENGTH),
        stop_ids=made.stop_ids,
        pad_id=made.pad_id,
        run_seed=0,
    )
    batch = collate([answered(rollout) for rollout in rollouts], pad_id=made.pad_id)
    with torch.no_grad():
        logps = made.token_logps(batch)
    for row, rollout in zip(logps, rollouts, strict=True):
        start = len(rollout.prompt_tokens)
        again = row[start : start + len(rollout.tokens)]
        assert (again - torch.tensor(rollout.logps)).abs().max() < 1e-4  # of order 5
        assert row.sum().item() == pytest.approx(sum(rollout.logps), abs=1e-3)


# ---------------------------------------------------------------- slots


def test_a_prompt_is_read_once_for_all_of_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    honest = decoder.prefill

    def counted(network: PreTrainedModel, tokens: Tensor, *rest: Any) -> Tensor:
        read.append(len(tokens))
        return honest(network, tokens, *rest)

    monkeypatch.setattr(decoder, "prefill", counted)
    prompts = [PROMPTS[1]] * 5 + [PROMPTS[2]] * 4
    found = run(network("llama"), Sampling(max_new_tokens=LENGTH, temperature=0.7), prompts)
    assert sum(read) == 2
    assert len({rollout.tokens for rollout in found}) > 5  # each drew its own numbers


def test_prompts_are_read_within_a_budget_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    honest = decoder.prefill

    def counted(network: PreTrainedModel, tokens: Tensor, *rest: Any) -> Tensor:
        read.append((tokens.shape[0], tokens.shape[1]))
        return honest(network, tokens, *rest)

    monkeypatch.setattr(decoder, "prefill", counted)
    settings, prompts = Sampling(max_new_tokens=LENGTH, temperature=0.7), PROMPTS * 3
    expected = run(network("llama"), settings, prompts)
    assert [rows for rows, _ in read] == [5]  # all of the different prompts at once
    read.clear()
    monkeypatch.setattr(sampler, "PREFILL_TOKENS", 16)
    found = run(network("llama"), settings, prompts)
    assert sum(rows for rows, _ in read) == 5 and len(read) > 2
    assert all(rows * width <= 16 or rows == 1 for rows, width in read) and any(rows > 1 for rows, _ in read)
    assert [rollout.tokens for rollout in found] == [rollout.tokens for rollout in expected]


@pytest.mark.parametrize("shape", ["llama", "gemma2"])
def test_slots_that_grow_hold_what_they_held(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    monkeypatch.setattr(slots, "GROWTH", 3)
    check_against_slow(network(shape), Sampling(max_new_tokens=LENGTH, temperature=0.7))


def test_slots_take_columns_as_they_need_them() -> None:
    made = slots.Slots(4, capacity=300, device=torch.device("cpu"))
    cache = made.cache(2)
    prompt, states = DynamicCache(), torch.randn(4, 2, 100, 8)
    for layer in range(2):
        prompt.update(states, states, layer)
    made.fill(torch.arange(4), torch.arange(4), prompt, torch.full((4,), 100))
    widths = []
    for _ in range(200):
        mask = made.step_mask(made.longest + 1)
        for layer in range(2):
            keys, _ = cache.update(torch.ones(4, 2, 1, 8), torch.ones(4, 2, 1, 8), layer)
            assert keys.shape[2] == mask.shape[3]
        made.lengths += 1
        widths.append(made.layers[1].keys.shape[2])
    assert torch.equal(made.layers[1].values[:, :, :100], states) and bool(
        (made.layers[1].values[:, :, 100:300] == 1).all()
    )
    assert sorted(set(widths)) == [128, 256, 300]
    assert all(width <= 100 + step + 128 for step, width in enumerate(widths))


@pytest.mark.parametrize("shape", SHAPES)
def test_slots_hold_half_precision_under_autocast(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    kinds: set[torch.dtype] = set()
    honest = slots._SlotLayer.update

    def seen(layer: slots._SlotLayer, *states: Any, **options: Any) -> tuple[Tensor, Tensor]:
        found = honest(layer, *states, **options)
        kinds.update(tensor.dtype for tensor in found)
        return found

    monkeypatch.setattr(slots._SlotLayer, "update", seen)
    with torch.autocast("cpu", torch.bfloat16):
        run(network(shape), Sampling(max_new_tokens=2))
    assert kinds == {torch.bfloat16}


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_slots_are_filled_again_as_answers_end(slots: int) -> None:
    prompts = PROMPTS * 4
    limits = [1 + (7 * i) % LENGTH for i in range(len(prompts))]
    settings = Sampling(max_new_tokens=LENGTH, temperature=0.7)
    expected = sample(
        network("llama"), prompts, settings, stop_ids=stops(), pad_id=0, run_seed=5, limits=limits, slots=100
    )
    found = sample(
        network("llama"),
        prompts,
        settings,
        stop_ids=stops(),
        pad_id=0,
        run_seed=5,
        limits=limits,
        slots=slots,
    )
    assert [rollout.tokens for rollout in found] == [rollout.tokens for rollout in expected]
    assert all(len(rollout.tokens) <= limit for rollout, limit in zip(found, limits, strict=True))
    assert any(
        len(rollout.tokens) == limit and rollout.finish == "length"
        for rollout, limit in zip(found, limits, strict=True)
    )


def test_a_slot_whose_answer_ended_at_once_stands_still() -> None:
    # One long prompt with one token to say, beside four short ones with many: its free slot is too small a share to be cut away, and
    # must not run on past the cache's end.
    prompts, limits = [PROMPTS[3] * 3, *[PROMPTS[2]] * 4], [1, *[40] * 4]
    settings = Sampling(max_new_tokens=40)
    found = sample(
        network("llama"),
        prompts,
        settings,
        stop_ids=frozenset(),
        pad_id=0,
        run_seed=5,
        limits=limits,
        slots=5,
    )
    assert [len(rollout.tokens) for rollout in found] == limits
    alone = sample(
        network("llama"), prompts[1:2], settings, stop_ids=frozenset(), pad_id=0, run_seed=5, rows=[1]
    )
    assert found[1].tokens == alone[0].tokens


def test_a_stop_string_ends_an_answer() -> None:
    words = tokenizer()

    def text(tokens: Sequence[int]) -> str:
        return str(words.decode(list(tokens)))

    free = sample(
        network("llama"), PROMPTS, Sampling(max_new_tokens=LENGTH), stop_ids=frozenset(), pad_id=0, run_seed=5
    )
    wanted = text(free[1].tokens[4:6])
    settings = Sampling(max_new_tokens=LENGTH, stop=(wanted,))
    found = sample(network("llama"), PROMPTS, settings, stop_ids=frozenset(), pad_id=0, run_seed=5, text=text)
    assert found[1].finish == "stop" and len(found[1].tokens) <= 6
    assert wanted in text(found[1].tokens) and wanted not in text(found[1].tokens[:-1])


def test_no_prompts_give_no_answers() -> None:
    assert run(network("llama"), Sampling(max_new_tokens=LENGTH), []) == []


def test_half_precision_by_autocast_samples_nearly_the_same_distribution() -> None:
    model, settings = network("qwen3"), Sampling(max_new_tokens=4, temperature=0.7)
    whole = run(model, settings)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(model, settings)
    assert [rollout.finish for rollout in found] and len(found) == len(whole)
    same = [i for i in range(len(found)) if found[i].tokens[0] == whole[i].tokens[0]]
    assert same and all(abs(found[i].logps[0] - whole[i].logps[0]) < 0.2 for i in same)
