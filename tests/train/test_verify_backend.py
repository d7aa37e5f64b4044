from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import TaskType
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from fairlead.core import jsonl
from fairlead.core.errors import ModelError
from fairlead.core.precision import Precision
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.forward import attention, decoder, flex_attention, layout
from fairlead.forward.layout import Layout
from fairlead.model.adapters import Lora, add_lora
from fairlead.model.policy import Policy
from fairlead.recipes import dpo
from fairlead.store.run import Run, open_run
from fairlead.train.verify_backend import verify_backend
from fakes import HYBRID, MORE_SHAPES, SHAPES, chat_format, network, project_with_base, train


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    config = dpo.Config(name="made", model="base", comparisons="data/comparisons.jsonl")
    with open_run(project_with_base(tmp_path), "dpo", config, kind=dpo.KIND) as opened:
        yield opened


def policy_of(shape: str) -> Policy:
    made = network(shape)
    attention.install(made)
    return Policy(made, chat_format(), "nowhere")


BATCH = collate(
    [
        Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))
        for prompt, answer in (((5, 6, 7), (8, 9)), ((5, 6, 7), (10, 11, 12, 13)), ((20, 21), (22,)))
    ],
    pad_id=0,
)


def check(run: Run, policy: Policy) -> dict[str, Any]:
    verify_backend(run, policy, lambda: policy.token_logps(BATCH), what="policy")
    return events(run, "paths")[-1]


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for _, event in jsonl.read(run.folder / "events.jsonl") if event["event"] == kind]


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_the_fastest_way_is_taken_where_it_agrees(run: Run, shape: str) -> None:
    found = check(run, policy_of(shape))
    assert found["chosen"] == ("packed" if shape != "gemma2" else "trees")  # whose attention is its own
    assert found["gaps"][found["chosen"]] <= 1e-4
    assert events(run, "warning") == []


def test_weights_in_bfloat16_are_checked_in_float32_and_left_as_they_were(run: Run) -> None:
    adapted = add_lora(network("llama"), Lora(4, 8, precision="pure-bfloat16"), task=TaskType.CAUSAL_LM)
    attention.install(decoder.base_network(adapted))
    policy = Policy(adapted, chat_format(), "nowhere")
    before = {name: p.detach().clone() for name, p in policy.network.named_parameters()}
    assert {p.dtype for p in before.values()} == {torch.float32, torch.bfloat16}
    found = check(run, policy)
    assert found["chosen"] == "packed" and 0 < found["gaps"]["packed"] <= 1e-4
    for name, p in policy.network.named_parameters():
        assert p.dtype == before[name].dtype and torch.equal(p, before[name]), name
    noisy = policy.token_logps(BATCH)
    policy.backend.padded, policy.backend.chunked_logits = True, False
    attention.uninstall(decoder.base_network(policy.network))
    assert (
        float((policy.token_logps(BATCH) - noisy).detach().abs().max()) > 1e-3
    )  # what the tolerance would drown in


def test_a_model_with_a_state_of_its_own_is_not_given_trees(run: Run) -> None:
    policy = policy_of(HYBRID)
    assert not decoder.supports_tree_mask(policy.network, 10)
    expected = policy.token_logps(BATCH)
    found = check(run, policy)
    assert found["chosen"].startswith("rows")
    assert found["left_out"] == ["trees: this model's attention does not support them"]
    policy.backend.padded, policy.backend.chunked_logits = True, False
    torch.testing.assert_close(policy.token_logps(BATCH), expected, atol=1e-4, rtol=1e-4)


def test_trees_that_lie_are_left_with_a_warning_for_each_way(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = decoder.hidden_states

    def deaf(network: Any, layout: Layout, **options: Any) -> torch.Tensor:
        """An attention that does not see what it is told of trees."""
        lying = (
            layout
            if layout.positions is None
            else Layout(layout.tokens, layout.positions, None, layout.token_index)
        )
        return honest(network, lying, **options)

    monkeypatch.setattr(decoder, "hidden_states", deaf)
    policy = policy_of("llama")
    found = check(run, policy)
    assert found["chosen"] == "rows"
    assert (policy.backend.share_prompts, policy.backend.chunked_logits, policy.backend.padded) == (
        False,
        True,
        False,
    )
    warnings = [event["text"] for event in events(run, "warning")]
    assert ["(packed)" in warnings[0], "(trees)" in warnings[1]] == [True, True] and len(warnings) == 2
    assert all("differs from the plain one by" in text for text in warnings)
    assert capsys.readouterr().err.count("warning: policy") == 2


def test_a_head_that_is_more_than_it_seems_is_run_the_plain_way(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of("llama")
    plain = policy.network.forward
    monkeypatch.setattr(policy.network, "forward", lambda **arguments: _doubled(plain(**arguments)))
    found = check(run, policy)
    assert found["chosen"] == "plain"
    assert len(found["gaps"]) == len(events(run, "warning")) >= 2
    assert policy.backend.padded and not policy.backend.chunked_logits


def _doubled(output: Any) -> Any:
    output.logits = output.logits * 2
    return output


def test_every_run_says_which_way_it_went(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(
        project, dpo, name="made", model="base", comparisons="data/comparisons.jsonl", batch=8, held_out=0.2
    )
    said = [event for _, event in jsonl.read(made.folder / "events.jsonl") if event["event"] == "paths"]
    assert [(event["what"], event["chosen"]) for event in said] == [("policy", "packed")]


def test_an_attention_that_lies_is_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("llama")
    honest = ALL_ATTENTION_FUNCTIONS[attention.NAME]

    def lying(module: Any, query: Any, *rest: Any, **options: Any) -> Any:
        return honest(module, query * 1.1, *rest, **options)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, attention.NAME, lying)
    assert check(run, policy)["chosen"] == "trees"
    assert not attention.is_installed(policy.network)


def test_a_saved_model_does_not_ask_others_for_our_attention(tmp_path: Path) -> None:
    policy = policy_of("llama")
    assert attention.is_installed(policy.network)
    policy.save(tmp_path / "saved")
    assert attention.NAME not in (tmp_path / "saved" / "config.json").read_text()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "saved").config._attn_implementation == "sdpa"


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES, HYBRID])
def test_packed_rows_are_for_devices_with_kernels_and_models_whose_attention_takes_blocks(shape: str) -> None:
    made = policy_of(shape).network
    assert decoder.supports_packing(made, torch.device("cuda")) == (shape not in ("gpt2", "gemma2", HYBRID))
    assert decoder.supports_packing(made, torch.device("cpu")) == (shape not in ("gemma2", HYBRID))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_rows_are_taken_where_they_agree(run: Run, precision: Precision) -> None:
    policy = policy_of("llama")
    policy.backend.precision = precision
    found = check(run, policy)
    assert (found["chosen"], list(found["gaps"]), policy.backend.packed) == ("packed", ["packed"], True)
    assert policy.backend.precision == precision
    assert all(parameter.grad is None for parameter in policy.network.parameters())
    assert policy.backend.layout(BATCH, policy.network, pad_id=0).tokens.shape == (1, 128)


def test_packed_rows_that_lie_are_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = layout.packed

    def lying(*batch: Any, **options: Any) -> Layout:
        found = honest(*batch, **options)
        return Layout(
            found.tokens, found.positions, None, found.token_index
        )  # every row sees those before it

    monkeypatch.setattr(layout, "packed", lying)
    policy = policy_of("llama")
    found = check(run, policy)
    assert (found["chosen"], policy.backend.packed, policy.backend.share_prompts) == ("trees", False, True)
    assert ["(packed)" in event["text"] for event in events(run, "warning")] == [True]


@pytest.mark.filterwarnings("ignore:.*without torch.compile:UserWarning")
def test_a_device_that_cannot_make_the_kernels_is_left_in_peace(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = flex_attention.attend

    def only_forward(*tensors: Any, **options: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("out of shared memory\nand so on")
        return honest(*tensors, **options)

    monkeypatch.setattr(flex_attention, "attend", only_forward)
    blocks = layout.packed
    monkeypatch.setattr(layout, "packed", lambda batch, **options: blocks(batch, pad_id=0, blocks=True))
    policy = policy_of("llama")
    policy.backend.packed = True
    found = check(run, policy)
    assert (found["chosen"], list(found["gaps"]), policy.backend.packed) == ("trees", ["trees"], False)
    said = [event["text"] for event in events(run, "warning")]
    assert said == ["policy: packed rows cannot be used here: out of shared memory"]


def test_a_backend_that_gives_no_numbers_is_recorded_without_one(run: Run) -> None:
    policy = policy_of("llama")
    own = policy.token_logps(BATCH).detach()

    def measure() -> torch.Tensor:
        return own if policy.backend.padded else own * float("nan")

    verify_backend(run, policy, measure, what="policy")
    [found] = events(run, "paths")
    assert found["chosen"] == "plain" and set(found["gaps"].values()) == {None}


def test_results_that_are_not_finite_are_the_models_fault(run: Run) -> None:
    policy = policy_of("llama")
    with pytest.raises(ModelError, match="policy: the model's own results .* are not finite"):
        verify_backend(run, policy, lambda: torch.tensor([float("nan")]), what="policy")


def test_rows_longer_than_an_attention_window_are_not_packed() -> None:
    policy = policy_of("mistral")
    policy.backend.packed = True
    policy.network.config.sliding_window = 6
    assert policy.backend.layout(BATCH, policy.network, pad_id=0).tokens.shape == tuple(BATCH.tokens.shape)
    policy.network.config.sliding_window = 7
    assert policy.backend.layout(BATCH, policy.network, pad_id=0).tokens.shape == (1, 128)


def test_blocks_are_refused_where_attention_wants_more_than_they_say() -> None:
    query = torch.zeros(1, 2, 128, 8)
    mask = layout.packed(BATCH, pad_id=0, blocks=True).mask
    with pytest.raises(NotImplementedError, match="s_aux"):
        attention.attend(torch.nn.Module(), query, query, query, mask, s_aux=torch.zeros(2))
    with pytest.raises(NotImplementedError, match="dropout"):
        attention.attend(torch.nn.Module(), query, query, query, mask, dropout=0.1)
