"""Models from scratch: the tokenizer, its chat template, and a network drawn from a seed."""

import pytest
import torch
from transformers import LlamaForCausalLM

from fairlead.model import from_scratch
from fairlead.model.from_scratch import END, PAD, ROLES, Shape
from fakes import CONTEXT, tokenizer

SHAPE = Shape(hidden=64, layers=2, heads=4, intermediate=96, context=128)


def network(run_seed: int) -> LlamaForCausalLM:
    return from_scratch.new_network(SHAPE, tokenizer(), run_seed=run_seed)


@pytest.mark.parametrize("text", ["The sky is blue.", " two  spaces\n", "naïve Straße 例 🙂", "\x00\t"])
def test_any_text_survives_the_tokenizer(text: str) -> None:
    ids = tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert tokenizer().decode(ids) == text
    assert max(ids) < len(tokenizer())


def test_special_tokens_are_single_tokens() -> None:
    for token in (PAD, END, *ROLES):
        assert len(tokenizer()(token, add_special_tokens=False)["input_ids"]) == 1
    assert (tokenizer().pad_token, tokenizer().eos_token) == (PAD, END)
    assert tokenizer().model_max_length == CONTEXT


def test_the_chat_template_by_hand() -> None:
    messages = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}]
    text = tokenizer().apply_chat_template(messages, tokenize=False)
    assert text == "<|user|>One?<|end|><|assistant|>Yes.<|end|>"
    prompt = tokenizer().apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|user|>One?<|end|><|assistant|>"


def test_the_tokenizer_is_a_function_of_its_texts() -> None:
    texts = ["a fox and a fox and a fox", "the sky"]
    first, again, other = (
        from_scratch.new_tokenizer(iter(lines), vocab_size=270, context=64).get_vocab()
        for lines in (texts, texts, ["green garden green garden", "a b"])
    )
    assert first == again != other
    assert "Ġfox" in first and "Ġfox" not in other


def test_the_network_has_the_shape_and_the_tokenizers_ids() -> None:
    model = network(0)
    config = model.config
    sizes = (
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.intermediate_size,
    )
    assert sizes == (64, 2, 4, 96) and config.max_position_embeddings == 128
    assert (config.pad_token_id, config.eos_token_id) == (tokenizer().pad_token_id, tokenizer().eos_token_id)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert not model.training
    # Embeddings V * 64; per layer 4 matrices of 64 * 64, 3 of 64 * 96, and 2 norms; a final norm.
    expected = len(tokenizer()) * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 96 + 2 * 64) + 64
    assert sum(p.numel() for p in model.parameters()) == expected


def test_weights_are_drawn_from_the_seed_with_deviation_0_02() -> None:
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    first, again, other = network(0).state_dict(), network(0).state_dict(), network(1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is untouched
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name])
    assert first[name].std().item() == pytest.approx(0.02, rel=0.05)
    assert first[name].mean().item() == pytest.approx(0.0, abs=0.001)
