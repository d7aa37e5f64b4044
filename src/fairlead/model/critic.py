"""Where a critic begins: as the reward model that it learns to foresee, or knowing nothing."""

from fairlead.core.errors import ModelError
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy
from fairlead.model.reward_model import (
    ScalarModel,
    load_critic,
    new_reward_model,
    open_shared_critic,
    shares_base,
)


def open_critic(policy: Policy, reward_model: str | None, *, lora: Lora | None, run_seed: int) -> ScalarModel:
    """The reward model's network to start from, on the reward's scale; without one, the policy's with a head of zeros.

    Under LoRA it is one more adapter on the policy's own network, unless the reward model has another.
    """
    if policy.has_adapter and (reward_model is None or shares_base(policy, reward_model)):
        return open_shared_critic(policy, reward_model, run_seed=run_seed)
    if reward_model is None:
        critic = new_reward_model(policy.reference, run_seed=run_seed, lora=lora)
        critic.zero_head()
        return critic
    critic = load_critic(reward_model, lora=lora)
    if critic.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise ModelError(
            f"{reward_model}: has another tokenizer than {policy.reference}; the critic reads the policy's tokens. Train it on that model."
        )
    return critic
