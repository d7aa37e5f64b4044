"""Weights in 4 bits.  The oracle is a plain network in float32 whose weights were rounded here, by the table
of arXiv:2305.14314.
"""

from pathlib import Path

import pytest
import torch
from peft import TaskType
from safetensors.torch import load_file
from torch import Tensor, tensor

from fairlead.core.errors import ModelError
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.forward import decoder
from fairlead.model import quantize
from fairlead.model.adapters import Lora, add_lora
from fairlead.model.policy import Policy, load_policy
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.recipes import dpo, sft
from fairlead.train.settings import Adapter
from fakes import SHAPES, chat_format, network, project_with_base, save_model, shake, train

# Appendix E of the paper
NF4 = tensor(
    [-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0]
    + [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0]
)
LINEAR = [shape for shape in SHAPES if shape != "gpt2"]
FOUR = Lora(4, 8, base_bits=4)
BATCH = collate(
    [Encoded(tuple(range(5, 5 + n)), (False,) * 3 + (True,) * (n - 3)) for n in (12, 12, 7)], pad_id=0
)


def rounded(weight: Tensor) -> Tensor:
    """Each block of 64 to the nearest of the 16 values; scales are left exact, which the real ones are to
    about a hundredth.
    """
    blocks = weight.reshape(-1, 64)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    nearest = (blocks[:, :, None] / scale[:, :, None] - NF4).abs().argmin(dim=2)
    return (NF4[nearest] * scale).reshape(weight.shape)


def policies(shape: str) -> tuple[Policy, Policy]:
    """The same random adapter on a 4-bit network, and on an ordinary network with the dequantised values."""
    plain = network(shape, hidden=64)
    quantize.round_weights(plain, torch.device("cpu"))
    found = []
    for base, lora in ((network(shape, hidden=64), FOUR), (plain, Lora(4, 8))):
        policy = Policy(add_lora(base, lora, task=TaskType.CAUSAL_LM), chat_format(), "nowhere")
        policy.network.eval()
        shake(policy.trainable())
        found.append(policy)
    return found[0], found[1]


def test_weights_are_rounded_as_the_paper_says() -> None:
    made = network("llama", hidden=64)
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    quantize.round_weights(made, torch.device("cpu"))
    for name, p in made.named_parameters():
        if "_proj" in name:
            assert not torch.equal(p, before[name])
            wrong = (p - rounded(before[name])).abs() > 0.02 * before[name].abs().max()
            assert wrong.float().mean() < 0.01, (
                name
            )  # a few stand between two values, and fall to the other side
        else:
            assert torch.equal(p, before[name]), name


def test_rows_that_are_no_whole_blocks_keep_their_digits() -> None:
    made = network("llama", hidden=32)  # so that only down_proj has 64 inputs
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    quantize.round_weights(made, torch.device("cpu"))
    for name, p in made.named_parameters():
        assert torch.equal(p, before[name]) == ("down_proj" not in name), name


@pytest.mark.parametrize("shape", LINEAR)
def test_a_network_in_four_bits_says_and_learns_what_its_rounded_weights_do(shape: str) -> None:
    four, plain = policies(shape)
    with torch.no_grad():  # what was seen without gradients must not change what is learned afterwards
        expected = plain.token_logps(BATCH)
        torch.testing.assert_close(four.token_logps(BATCH), expected, atol=1e-4, rtol=0)
    for policy in (four, plain):
        policy.token_logps(BATCH).sum().backward()
    for name, parameter in plain.trainable().items():
        gradient = four.trainable()[name].grad
        assert gradient is not None and parameter.grad is not None and parameter.grad.abs().max() > 1e-3
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-3, rtol=1e-3, msg=name)


def test_the_frozen_layers_take_an_eighth_of_the_memory() -> None:
    def held(policy: Policy) -> int:
        parameters = decoder.base_network(policy.network).named_parameters()
        return sum(p.numel() * p.element_size() for name, p in parameters if "base_layer" in name)

    four, plain = policies("llama")
    assert held(four) * 8 == held(plain) > 0


@pytest.mark.parametrize("precision", ["bfloat16", "pure-bfloat16"])
def test_products_are_in_the_precision_that_was_asked_for(precision: str) -> None:
    exact, _ = policies("llama")
    policy = Policy(
        add_lora(
            network("llama", hidden=64),
            Lora(4, 8, precision=precision, base_bits=4),  # type: ignore[arg-type]
            task=TaskType.CAUSAL_LM,
        ),
        chat_format(),
        "nowhere",
    )
    shake(policy.trainable())
    policy.backend.precision = precision  # type: ignore[assignment]
    seen = []
    layer = next(
        module
        for name, module in policy.network.named_modules()
        if name.endswith("layers.1.mlp.down_proj.base_layer")
    )
    layer.register_forward_hook(lambda _, __, result: seen.append(result.dtype))
    with torch.no_grad():
        gap = (policy.token_logps(BATCH) - exact.token_logps(BATCH)).abs().max()
    assert seen == [torch.bfloat16]
    assert 1e-4 < gap < 0.5


def test_a_model_without_ordinary_linear_layers_is_refused() -> None:
    with pytest.raises(
        ModelError,
        match="gpt2 model has no linear layer whose number of inputs is a multiple of 64, .* Set "
        "base_bits=32",
    ):
        add_lora(network("gpt2", hidden=64), FOUR, task=TaskType.CAUSAL_LM)


def test_without_the_library_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "_library", None)
    with pytest.raises(
        ModelError, match=r"base_bits = 4 needs bitsandbytes, .* pip install 'fairlead\[lowbit\]'"
    ):
        add_lora(network("llama", hidden=64), FOUR, task=TaskType.CAUSAL_LM)


def test_four_bits_need_an_adapter() -> None:
    with pytest.raises(ValueError, match="base_bits = 4: needs an adapter"):
        Adapter(rank=0, base_bits=4)


def test_an_adapter_is_read_as_it_was_trained(tmp_path: Path) -> None:
    policy = load_policy(str(save_model(tmp_path / "base", hidden=64)), lora=FOUR)
    shake(policy.trainable())
    policy.save(tmp_path / "adapter")
    with torch.no_grad():
        expected = policy.token_logps(BATCH)
        read = load_policy(str(tmp_path / "adapter")).token_logps(BATCH)
        (tmp_path / "adapter" / quantize.RECORD).unlink()
        on_full_base = load_policy(str(tmp_path / "adapter")).token_logps(BATCH)
    torch.testing.assert_close(read, expected, atol=1e-4, rtol=0)
    assert (on_full_base - expected).abs().max() > 0.1


@pytest.mark.parametrize("hidden", [32, 64])  # with 32 some layers keep their digits
def test_a_reward_model_is_written_with_the_scores_that_it_was_trained_to_give(
    tmp_path: Path, hidden: int
) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base", hidden=hidden)), run_seed=0, lora=FOUR)
    shake(model.trainable())
    with torch.no_grad():
        expected = model.scores(BATCH)
        model.save(tmp_path / "reward")
        found = load_reward_model(str(tmp_path / "reward")).scores(BATCH)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert {values.dtype for values in load_file(tmp_path / "reward" / "model.safetensors").values()} == {
        torch.float32
    }


def test_an_adapter_on_one_that_was_trained_on_four_bits(tmp_path: Path) -> None:
    project = project_with_base(tmp_path, hidden=64)
    common = {"batch": 8, "epochs": 2, "rank": 4, "base_bits": 4}
    one = train(
        project, sft, name="one", model="base", demonstrations="data/demonstrations.jsonl", lr=1e-2, **common
    )
    two = train(
        project, dpo, name="two", model="one", comparisons="data/comparisons.jsonl", lr=1e-3, **common
    )
    assert one.series("loss")[-1] < 0.9 * one.series("loss")[0]
    assert two.series("loss")[0] == pytest.approx(0.6931, abs=1e-3) and two.series("loss")[-1] < 0.6
    assert {made.artifact.manifest.config["adapter"]["base_bits"] for made in (one, two)} == {4}
    assert load_policy(str(two.artifact.folder)).network.num_parameters() > 0
