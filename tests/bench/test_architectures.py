"""Ten architectures that stand for the kinds of attention, cache and layer that a model can have."""

import pytest
from benchmarks.architectures import measure, table


@pytest.mark.parametrize(
    ("kind", "sampling"),
    [
        ("llama", "slots"),
        ("gpt2", "slots"),  # transposed matrices, learned positions
        ("falcon", "slots"),  # compares the name of its attention
        ("mixtral", "slots"),  # experts
        ("gemma3_text", "slots"),  # sliding windows
        ("deepseek_v3", "slots"),  # latent attention
        ("bloom", "padded"),  # ALiBi
        ("qwen3_next", "padded"),  # linear attention
        ("falcon_h1", "padded"),  # attention and state space in one layer, with a cache that cannot shrink
        ("mamba", "uncached"),  # state space
    ],
)
def test_an_architecture_equals_transformers(kind: str, sampling: str) -> None:
    result = measure(kind)
    assert (result["verdict"], result.get("sampling")) == ("equal", sampling), result
    assert f"| `{kind}` |" in table({kind: result})


def test_an_encoder_is_refused_with_a_sentence() -> None:
    result = measure("bert")
    assert result["verdict"] == "refused"
    assert "is not a causal language model" in table({"bert": result})
