"""The parts of a decoder that Fairlead calls, against the forward of the transformers model itself."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import DynamicCache

from fairlead.encoding.batching import Batch, collate
from fairlead.encoding.chat import Encoded
from fairlead.forward import attention, decoder, flex_attention, layout, matmul_attention
from fairlead.forward.span import Span
from fakes import HYBRID, MORE_SHAPES, SHAPES, network

CPU = torch.device("cpu")


def batch_of(*rows: list[int]) -> Batch:
    return collate([Encoded(tuple(row), (True,) * len(row)) for row in rows], pad_id=0)


BATCH = batch_of([5, 6, 7, 8, 9, 10], [11, 12, 13])


@torch.no_grad()
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_hidden_states_are_the_last_of_the_network(shape: str) -> None:
    model = network(shape)
    hidden = decoder.hidden_states(model, layout.plain(BATCH)).view(2, 6, -1)
    for row, tokens in enumerate(([5, 6, 7, 8, 9, 10], [11, 12, 13])):
        output = model(input_ids=torch.tensor([tokens]), output_hidden_states=True)
        expected = output.hidden_states[-1][0]
        torch.testing.assert_close(hidden[row, : len(tokens)], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_logits_of_hidden_states_are_those_of_the_network(shape: str) -> None:
    model = network(shape)
    hidden = decoder.hidden_states(model, layout.plain(BATCH))
    logits = decoder.output_logits(model, hidden).view(2, 6, -1)
    expected = model(input_ids=BATCH.tokens).logits
    torch.testing.assert_close(logits[BATCH.token_mask], expected[BATCH.token_mask], atol=1e-4, rtol=1e-5)


def test_a_head_other_than_one_linear_layer_is_not_described() -> None:
    model = network("llama")
    vocabulary, hidden = model.get_output_embeddings().weight.shape
    assert decoder.output_head(model) is not None
    model.lm_head = nn.Sequential(nn.Linear(hidden, vocabulary), nn.Tanh())
    assert decoder.output_head(model) is None


@torch.no_grad()
def test_positions_of_the_layout_are_used() -> None:
    model = network("llama")
    tokens = torch.tensor([[5, 6, 7]])
    positions = torch.tensor([[0, 1, 5]])
    index = torch.arange(3)[None]
    # Without a mask, transformers takes a jump in the positions for the start of another text.
    causal = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    hidden = decoder.hidden_states(model, layout.Layout(tokens, positions, causal, index))
    output = model(input_ids=tokens, position_ids=positions, attention_mask=causal, output_hidden_states=True)
    torch.testing.assert_close(hidden, output.hidden_states[-1][0], atol=1e-5, rtol=1e-5)
    without = decoder.hidden_states(model, layout.Layout(tokens, None, causal, index))
    assert (hidden - without).abs().max() > 0.01


@torch.no_grad()
def test_noise_is_added_to_the_embeddings() -> None:
    model = network("llama")
    noise = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))
    hidden = decoder.hidden_states(model, layout.plain(BATCH), noise=noise)
    embedded = model.get_input_embeddings()(BATCH.tokens) + noise
    expected = model(inputs_embeds=embedded, output_hidden_states=True).hidden_states[-1].flatten(0, 1)
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-5)
    assert (hidden - decoder.hidden_states(model, layout.plain(BATCH))).abs().max() > 0.1


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_gradient_checkpointing_recomputes_each_layer_and_changes_no_gradient(shape: str) -> None:
    model = network(shape)
    layers = [module for module in model.modules() if type(module).__name__.endswith(("Layer", "Block"))]
    assert len(layers) == 2
    calls: list[int] = []
    for index, layer in enumerate(layers):
        # A hook of a module inside the layer, because hooks of the layer itself do not run again.
        layer.get_submodule("mlp").register_forward_pre_hook(lambda *_, index=index: calls.append(index))

    def gradients(*, gradient_checkpointing: bool) -> list[Tensor]:
        calls.clear()
        model.zero_grad()
        hidden = decoder.hidden_states(
            model, layout.plain(BATCH), gradient_checkpointing=gradient_checkpointing
        )
        hidden.square().sum().backward()
        return [p.grad.clone() for p in model.base_model.parameters() if p.grad is not None]

    plain = gradients(gradient_checkpointing=False)
    assert calls == [0, 1]
    checkpointed = gradients(gradient_checkpointing=True)
    assert sorted(calls) == [0, 0, 1, 1]
    assert len(plain) == len(checkpointed) > 10
    for expected, gradient in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(gradient, expected)
    assert not any(layer.training for layer in layers)


@torch.no_grad()
def test_prefill_fills_the_cache_and_returns_the_selected_places() -> None:
    model = network("llama")
    cache = DynamicCache(config=model.config)
    hidden = decoder.prefill(model, BATCH.tokens, cache, torch.tensor([0, 1]), torch.tensor([5, 2]))
    expected = decoder.hidden_states(model, layout.plain(BATCH)).view(2, 6, -1)
    torch.testing.assert_close(hidden, torch.stack([expected[0, 5], expected[1, 2]]), atol=1e-5, rtol=1e-5)
    assert cache.get_seq_length() == 6
    step = model(input_ids=torch.tensor([[20], [20]]), past_key_values=cache).logits[0, -1]
    complete = model(input_ids=torch.tensor([[5, 6, 7, 8, 9, 10, 20]])).logits[0, -1]
    torch.testing.assert_close(step, complete, atol=1e-4, rtol=1e-5)


def test_the_base_network_has_no_adapter_wrapper() -> None:
    model = network("llama")
    assert decoder.base_network(model) is model
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    assert decoder.base_network(adapted) is model  # type: ignore[arg-type]
    assert decoder.num_layers(adapted) == 2  # type: ignore[arg-type]


def test_a_tree_needs_attention_layers_and_a_window_that_covers_the_row() -> None:
    assert decoder.supports_tree_mask(network("llama"), 10_000)
    assert not decoder.supports_tree_mask(network(HYBRID), 1)
    windowed = network("mistral")
    windowed.config.sliding_window = 8
    assert decoder.supports_tree_mask(windowed, 8)
    assert not decoder.supports_tree_mask(windowed, 9)


def test_packing_on_a_cpu_needs_fairleads_attention() -> None:
    model = network("llama")
    assert not decoder.supports_packing(model, CPU)
    attention.install(model)
    assert decoder.supports_packing(model, CPU)
    assert not decoder.supports_packing(model, torch.device("meta"))
    hybrid = network(HYBRID)
    attention.install(hybrid)
    assert not decoder.supports_packing(hybrid, CPU)


def test_masks_take_the_form_that_the_attention_expects() -> None:
    model = network("llama")
    eager = network("gemma2")
    assert decoder.convert_mask(model, None) is None
    padding = torch.tensor([[True, False]])
    converted = decoder.convert_mask(model, padding)
    assert isinstance(converted, Tensor) and converted.tolist() == [[1, 0]]
    assert converted.dtype == torch.int64
    dense = torch.tensor([[[[True, False], [True, True]]]])
    assert decoder.convert_mask(model, dense) is dense
    additive = decoder.convert_mask(eager, dense)
    lowest = torch.finfo(torch.float32).min
    assert isinstance(additive, Tensor) and additive.tolist() == [[[[0.0, lowest], [0.0, 0.0]]]]
    spans = matmul_attention.span_mask([Span(0, 4)], 4)
    segment = torch.zeros(128, dtype=torch.int32)
    blocks = flex_attention.block_mask(segment, segment, [Span(0, 128)])
    for special in (spans, blocks):
        assert decoder.convert_mask(model, special) is special


def test_rows_end_where_the_positions_of_a_batch_would_change() -> None:
    made = network("phi3")
    assert decoder.longest_row(made) == made.config.max_position_embeddings
    made.config.rope_parameters = {"rope_type": "longrope", "original_max_position_embeddings": 64}
    assert decoder.longest_row(made) == 64
