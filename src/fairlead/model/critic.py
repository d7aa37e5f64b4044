"""Create the critic of PPO: a value head that starts from the reward model, or from zero.

A critic predicts the normalised reward, (score - mean) / std.  The reward model's head is rescaled
accordingly.
"""

import torch
from peft import TaskType
from torch import nn

from fairlead.core.errors import ModelError
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.model import adapters, load
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy
from fairlead.model.reward_model import (
    load_reward_model,
    load_shared_reward_model,
    new_reward_model,
    shared_scalar_model,
    shares_base,
)
from fairlead.model.scalar_model import HEAD, ScalarModel, total_head


def open_critic(policy: Policy, reward_model: str | None, *, lora: Lora | None, run_seed: int) -> ScalarModel:
    """A critic that starts as the reward model, or without one as the policy's decoder with a head of zeros.

    Under LoRA the critic is an additional adapter on the policy's network, unless the reward model has
    another base. Raises ModelError.
    """
    if policy.has_adapter and (reward_model is None or shares_base(policy, reward_model)):
        return open_shared_critic(policy, reward_model, run_seed=run_seed)
    if reward_model is None:
        critic = new_reward_model(
            policy.reference, run_seed=run_seed, lora=lora, template=policy.chat.settings
        )
        critic.zero_head()
        return critic
    critic = load_critic(reward_model, lora=lora, fallback=policy.chat.settings)
    # The reward model may know more tokens, such as a padding token of its own.
    critic_ids = critic.tokenizer.get_vocab()
    if any(critic_ids.get(token) != token_id for token, token_id in policy.tokenizer.get_vocab().items()):
        raise ModelError(
            f"{reward_model}: has a different tokenizer from {policy.reference}. A critic that starts from "
            "this reward model cannot read the policy's tokens. Set critic=policy, or train the reward model "
            f"on {policy.reference}."
        )
    return critic


def load_critic(
    reference: str, *, lora: Lora | None = None, fallback: Template = OWN_TEMPLATE
) -> ScalarModel:
    """A critic with a network of its own: the reward model's decoder, and its head on the scale of the
    rewards.
    """
    critic = load_reward_model(reference, fallback=fallback)
    network = critic.network
    head = total_head(critic.head.weight, critic.head.bias, critic.aspects)
    setattr(network, HEAD, _rescaled_head(head, critic))
    network.config.num_labels = 1
    network.config.reward_aspects = None
    network.config.reward_steps = None
    if lora is not None:
        network = adapters.add_lora(network, lora, task=TaskType.SEQ_CLS)
    load.to_default_device(network)
    return ScalarModel(network, critic.chat)


def open_shared_critic(policy: Policy, reference: str | None, *, run_seed: int) -> ScalarModel:
    """A critic as an adapter on the policy's network: a copy of the reward model's, or a new one with a head
    of zeros.
    """
    if reference is not None:
        reward_model = load_shared_reward_model(policy, reference, name="critic")
        return shared_scalar_model(policy, "critic", _rescaled_head(reward_model.head, reward_model))
    adapters.add_adapter(policy.network, "critic", run_seed=run_seed)
    critic = shared_scalar_model(policy, "critic", nn.Linear(policy.network.config.hidden_size, 1))
    critic.zero_head()
    return critic


def _rescaled_head(head: nn.Linear, model: ScalarModel) -> nn.Linear:
    """A head that returns (score - mean) / std.

    A process reward model scores steps, not answers, so its critic starts with a head of zeros.
    """
    scaled = nn.Linear(head.in_features, 1)
    with torch.no_grad():
        if model.steps is not None:
            scaled.weight.zero_()
            scaled.bias.zero_()
            return scaled
        scaled.weight.copy_(head.weight / model.scale.std)
        offset = 0.0 if head.bias is None else float(head.bias)
        scaled.bias.fill_((offset - model.scale.mean) / model.scale.std)
    return scaled
