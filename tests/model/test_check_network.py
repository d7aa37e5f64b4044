"""A network that no training could use is refused by one sentence."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from fairlead.core.errors import ModelError
from fairlead.model.policy import load_policy
from fakes import network, save_model, tokenizer


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_counted_and_refused(tmp_path: Path, value: float) -> None:
    folder = save_model(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"][0, :2] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match="2 weights are not a finite number, in model.layers.0.mlp.down_proj"
    ):
        load_policy(str(folder))


def test_an_encoder_is_refused_because_it_sees_later_tokens(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(ModelError, match=r"is not a causal language model.*Take a decoder"):
        load_policy(str(tmp_path / "bert"))


def test_a_token_without_an_embedding_is_refused_unless_no_text_can_contain_it(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    words = load_policy(str(folder)).tokenizer
    words.add_tokens(["<image>"], special_tokens=True)
    words.save_pretrained(folder)
    load_policy(str(folder))  # a text with a special token is refused when it is encoded
    words.add_tokens(["<x1>"])
    words.save_pretrained(folder)
    rows = len(tokenizer())
    with pytest.raises(ModelError, match=rf"up to {rows + 1} \(<x1>\).*embeddings for {rows} tokens only"):
        load_policy(str(folder))


def test_more_embeddings_than_tokens_are_fine(tmp_path: Path) -> None:
    padded = network("llama")
    padded.resize_token_embeddings(512)
    padded.save_pretrained(tmp_path / "m")
    tokenizer().save_pretrained(tmp_path / "m")
    assert load_policy(str(tmp_path / "m")).network.config.vocab_size == 512
