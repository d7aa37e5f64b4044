"""Norms and gated activations in fewer passes: equal to the modules' own, and used only where they are."""

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from fairlead.forward import fused_ops
from fakes import network


def fused_modules(module: nn.Module) -> list[str]:
    return [type(m).__name__ for m in module.modules() if isinstance(m, fused_ops.Fused)]


@pytest.mark.parametrize("shape", ["llama", "qwen3", "mistral", "olmo2"])
def test_a_network_gives_the_same_numbers_and_gradients(shape: str) -> None:
    own, other = network(shape), network(shape)
    fused_ops.install(other)
    assert any(name.endswith("RMSNorm") for name in fused_modules(other)) and any(
        name.endswith("MLP") for name in fused_modules(other)
    )
    tokens = torch.randint(5, 50, (2, 12), generator=torch.Generator().manual_seed(0))
    results = []
    for model in (own, other):
        logits = model(input_ids=tokens).logits
        logits.square().mean().backward()
        results.append((logits.detach(), {name: p.grad for name, p in model.named_parameters()}))
    torch.testing.assert_close(results[1][0], results[0][0], atol=1e-5, rtol=1e-5)
    for name, grad in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_module_that_computes_something_else_keeps_its_own_way() -> None:
    norm = GemmaRMSNorm(8)  # multiplies by 1 + weight
    fused_ops.install(norm)
    assert type(norm) is GemmaRMSNorm
    layer = nn.LayerNorm(8)
    fused_ops.install(layer)
    assert type(layer) is nn.LayerNorm


class GatedNorm(LlamaRMSNorm):
    """As in Nemotron-H and Granite's hybrids: without a gate it is a plain norm."""

    def forward(self, hidden_states: Tensor, gate: Tensor | None = None) -> Tensor:
        normed: Tensor = super().forward(hidden_states)
        return normed if gate is None else normed * gate


def test_a_norm_that_takes_a_second_tensor_keeps_its_own_way() -> None:
    norm = GatedNorm(8)
    fused_ops.install(norm)
    assert type(norm) is GatedNorm
    assert norm(torch.ones(2, 8), torch.zeros(2, 8)).abs().max() == 0


def test_a_copy_uses_its_own_weights_and_leaving_gives_back_the_class() -> None:
    norm = LlamaRMSNorm(8)
    fused_ops.install(norm)
    other = copy.deepcopy(norm)
    with torch.no_grad():
        other.weight.fill_(3.0)
    x: Tensor = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(other(x), 3 * norm(x))
    fused_ops.uninstall(norm)
    assert type(norm) is LlamaRMSNorm


def test_under_autocast_a_norm_answers_in_half_precision() -> None:
    norm = LlamaRMSNorm(8)
    fused_ops.install(norm)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(torch.ones(2, 8)).dtype == torch.bfloat16
        assert norm(torch.ones(2, 8).bfloat16()).dtype == torch.float32  # as its own way does
