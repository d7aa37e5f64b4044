"""The method of sampling is the fastest that agrees with a plain forward pass."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from fairlead.core.errors import ModelError
from fairlead.model.policy import Policy, load_policy
from fairlead.rollout.engine import LocalEngine
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.verify_sampler import choose_method
from fakes import policy, tokenizer

PROMPTS = [(5, 9, 40), (7, 3), (33, 12, 8, 50, 61, 9, 14)]


def other_policy(folder: Path, kind: str, **settings: Any) -> Policy:
    """A small random model of a kind whose cache or attention is its own."""
    words = tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "n_layer": 2, "n_head": 4}
    ids = {"pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(
        kind, vocab_size=len(words), initializer_range=0.3, **(sizes | ids | settings)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return load_policy(str(folder))


@torch.no_grad()
def greedy(model: Policy, prompt: Sequence[int], length: int) -> tuple[int, ...]:
    tokens = list(prompt)
    for _ in range(length):
        logits: Tensor = model.network(input_ids=torch.tensor([tokens]), use_cache=False).logits
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] in model.stop_ids:
            break
    return tuple(tokens[len(prompt) :])


def test_a_usual_model_is_sampled_in_slots_and_verified_once(tmp_path: Path) -> None:
    engine = LocalEngine(policy(tmp_path / "m"))
    request = SampleRequest(prompts=PROMPTS, params=SamplingParams(max_new_tokens=4), seed=0)
    engine.sample(request)
    assert engine.methods == {True: "slots"}
    assert engine.sample(SampleRequest(prompts=[], params=request.params, seed=0)) == []


@pytest.mark.parametrize(
    ("kind", "settings", "method", "warning"),
    [
        ("falcon", {"num_kv_heads": 1}, "slots", ""),
        ("bloom", {}, "padded", r"sampling \(slots\) fails: "),
        ("mamba", {"state_size": 4}, "uncached", r"sampling \(padded\) differs from a plain .* nats"),
        ("rwkv", {"attention_hidden_size": 32, "context_length": 256}, "uncached", "which is slow"),
    ],
)
def test_a_model_with_its_own_cache_answers_as_without_a_cache(
    tmp_path: Path, kind: str, settings: dict[str, Any], method: str, warning: str, capfd: Any
) -> None:
    model = other_policy(tmp_path / kind, kind, **settings)
    engine = LocalEngine(model)
    params = SamplingParams(max_new_tokens=8, temperature=0.0)
    rollouts = engine.sample(SampleRequest(prompts=PROMPTS, params=params, seed=0))
    assert [rollout.tokens for rollout in rollouts] == [greedy(model, prompt, 8) for prompt in PROMPTS]
    assert list(engine.methods.values()) == [method]
    printed = capfd.readouterr().err
    assert ("warning" in printed) == bool(warning)
    assert re.search(warning, printed), printed


def test_a_model_that_no_method_follows_is_refused(tmp_path: Path) -> None:
    """Positions that count from the end: every added token changes all that went before."""
    model = policy(tmp_path / "m", "gpt2")
    decoder: Any = model.network.base_model
    own_forward = decoder.forward

    def from_the_end(input_ids: Tensor, **arguments: Any) -> Any:
        arguments["position_ids"] = torch.arange(input_ids.shape[1] + 3, 3, -1)[None]
        return own_forward(input_ids=input_ids, **arguments)

    decoder.forward = from_the_end
    with pytest.raises(ModelError, match=r"no method samples from this gpt2 model.*\(uncached\) differs"):
        choose_method(model, PROMPTS)
