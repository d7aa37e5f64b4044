"""One frozen network, many roles: policy, reference, critic and reward model are adapters on it."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairlead.core.errors import ModelError
from fairlead.encoding.batching import Batch, collate
from fairlead.model import scalar_model
from fairlead.model.adapters import Lora
from fairlead.model.critic import load_critic, open_shared_critic
from fairlead.model.policy import Policy, load_policy
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import (
    load_reward_model,
    load_shared_reward_model,
    new_reward_model,
    shares_base,
)
from fakes import SHAPES, save_model, shake, turns

CONVERSATIONS = (turns("What is it?", "It is 4."), turns("One?", "Yes, it is green. The sky is blue."))


def batch_of(policy: Policy) -> Batch:
    return collate(
        [policy.encode(messages, num_context=1) for messages in CONVERSATIONS], pad_id=policy.pad_id
    )


def save_judge(folder: Path, shape: str = "llama") -> str:
    """A reward model that was trained as an adapter on `folder/base`."""
    model = new_reward_model(str(save_model(folder / "base", shape)), run_seed=0, lora=Lora(4, 8))
    shake(model.trainable())
    model.set_scale(mean=0.5, std=2.0)
    model.save(folder / "judge")
    return str(folder / "judge")


def open_policy(folder: Path) -> Policy:
    return load_policy(str(folder / "base"), lora=Lora(8, 16))


@torch.no_grad()
def logps(policy: Policy) -> Tensor:
    return policy.token_logps(batch_of(policy))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_attached_reward_model_gives_the_scores_of_the_merged_one(tmp_path: Path, shape: str) -> None:
    judge = save_judge(tmp_path, shape)
    policy = open_policy(tmp_path)
    assert shares_base(policy, judge)
    attached, alone = load_shared_reward_model(policy, judge, name="reward"), load_reward_model(judge)
    batch = batch_of(policy)
    torch.testing.assert_close(attached.scores(batch), alone.scores(batch), atol=1e-5, rtol=1e-4)
    assert (attached.scale.mean, attached.scale.std) == (0.5, 2.0)
    critic, own = open_shared_critic(policy, judge, run_seed=0), load_critic(judge)
    torch.testing.assert_close(critic.state_values(batch), own.state_values(batch), atol=1e-5, rtol=1e-4)


def test_an_attached_process_reward_model_is_read_at_its_steps(tmp_path: Path) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0, lora=Lora(4, 8))
    shake(model.trainable())
    model.set_steps(StepSettings(".", "minimum"))
    model.save(tmp_path / "judge")
    judge, policy = str(tmp_path / "judge"), open_policy(tmp_path)
    attached, alone = load_shared_reward_model(policy, judge, name="reward"), load_reward_model(judge)
    rows = [attached.encode(messages) for messages in CONVERSATIONS]
    assert [sum(row.trained) for row in rows] == [1, 2] and rows == [
        alone.encode(messages) for messages in CONVERSATIONS
    ]
    batch = collate(rows, pad_id=policy.pad_id)
    scores = attached.scores(batch)
    torch.testing.assert_close(scores, alone.scores(batch), atol=1e-5, rtol=1e-4)
    assert ((scores > 0) & (scores < 1)).all()
    assert not open_shared_critic(policy, judge, run_seed=0).state_values(batch_of(policy)).any()


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_roles_learn_apart_and_the_reference_stays_the_base_bit_for_bit(
    tmp_path: Path, gradient_checkpointing: bool
) -> None:
    judge = save_judge(tmp_path)
    policy = open_policy(tmp_path)
    base = logps(load_policy(str(tmp_path / "base")))
    critic, reward = (
        open_shared_critic(policy, judge, run_seed=0),
        load_shared_reward_model(policy, judge, name="reward"),
    )
    for model in (policy, critic):
        model.backend.gradient_checkpointing = gradient_checkpointing
    batch = batch_of(policy)
    scores = reward.scores(batch).detach()
    sets = [{id(p) for p in model.trainable().values()} for model in (policy, critic)]
    assert sets[0] and sets[1] and not sets[0] & sets[1]
    for model, result in ((policy, policy.token_logps), (critic, critic.state_values)):
        others = [
            p.detach().clone()
            for other in (policy, critic)
            if other is not model
            for p in other.trainable().values()
        ]
        optimizer = torch.optim.SGD(model.trainable().values(), lr=0.1)
        for _ in range(2):  # the first step of an adapter moves its second matrix only
            result(batch).square().sum().backward()
            assert all(p.grad is not None for p in model.trainable().values())
            optimizer.step()
            optimizer.zero_grad()
        after = [p for other in (policy, critic) if other is not model for p in other.trainable().values()]
        assert all(
            torch.equal(one, other) and other.grad is None for one, other in zip(others, after, strict=True)
        )
    assert not torch.equal(logps(policy), base)
    with policy.as_reference():
        assert torch.equal(logps(policy), base)
    assert torch.equal(reward.scores(batch), scores)


def test_gradients_of_a_role_are_those_of_a_network_of_its_own(tmp_path: Path) -> None:
    judge = save_judge(tmp_path)
    policy = open_policy(tmp_path)
    critic = open_shared_critic(policy, judge, run_seed=0)
    alone = copy.deepcopy(critic)
    shake(policy.trainable())
    batch = batch_of(policy)
    for model in (critic, alone):
        model.state_values(batch).square().sum().backward()
    for name, parameter in alone.trainable().items():
        torch.testing.assert_close(critic.trainable()[name].grad, parameter.grad)


def test_what_is_saved_is_the_policys_adapter_alone(tmp_path: Path) -> None:
    judge = save_judge(tmp_path)
    policy = open_policy(tmp_path)
    shake(policy.trainable())
    open_shared_critic(policy, judge, run_seed=0)
    expected = logps(policy)
    policy.save(tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()] == []
    torch.testing.assert_close(logps(load_policy(str(tmp_path / "saved"))), expected, atol=1e-5, rtol=1e-4)


def test_another_base_is_another_trunk(tmp_path: Path) -> None:
    judge = save_judge(tmp_path / "one")
    save_model(tmp_path / "two" / "base", seed=1)
    assert not shares_base(open_policy(tmp_path / "two"), judge)
    assert not shares_base(
        load_policy(str(tmp_path / "one" / "base")), judge
    )  # no adapter: the network itself is trained
    full = new_reward_model(str(tmp_path / "one" / "base"), run_seed=0)
    full.save(tmp_path / "full")
    assert not shares_base(open_policy(tmp_path / "one"), str(tmp_path / "full"))


def test_weights_that_are_not_the_adapters_are_refused(tmp_path: Path) -> None:
    judge = save_judge(tmp_path)
    adapter = Path(judge) / scalar_model.ADAPTER
    settings = (adapter / "adapter_config.json").read_text()
    (adapter / "adapter_config.json").write_text(settings.replace('"r": 4', '"r": 3'))
    with pytest.raises(ModelError, match="do not match adapter_config.json"):
        load_shared_reward_model(open_policy(tmp_path), judge, name="reward")
    (adapter / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="was not downloaded or copied completely"):
        load_shared_reward_model(open_policy(tmp_path), judge, name="reward")


def test_roles_on_one_network_may_run_in_different_ways(tmp_path: Path) -> None:
    judge = save_judge(tmp_path)
    policy = open_policy(tmp_path)
    critic = open_shared_critic(policy, judge, run_seed=0)
    policy.backend.packed = True
    before, values = logps(policy), critic.state_values(batch_of(policy)).detach()
    critic.backend.fused_modules = (
        False  # the model's own attention, which cannot read what a packed row may look at
    )
    torch.testing.assert_close(critic.state_values(batch_of(policy)).detach(), values, atol=1e-5, rtol=1e-4)
    assert torch.equal(logps(policy), before)
