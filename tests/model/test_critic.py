"""The critic: its head on the scale of the rewards."""

from pathlib import Path

import pytest

from fairlead.model.adapters import Lora
from fairlead.model.critic import load_critic
from fairlead.model.reward_model import load_reward_model
from fairlead.model.scalar_model import HEAD
from model.test_reward_model import batch_of, save_process_reward_model, save_reward_model


@pytest.mark.parametrize("lora", [None, Lora(4, 8)])
def test_a_critic_starts_as_the_standardised_reward_model(tmp_path: Path, lora: Lora | None) -> None:
    folder = str(save_reward_model(tmp_path, mean=0.5, std=2.0))
    model, critic = load_reward_model(folder), load_critic(folder, lora=lora)
    batch = batch_of(model)
    assert (critic.scores(batch) - (model.scores(batch) - 0.5) / 2.0).abs().max() < 1e-5  # of order 1
    assert sum("bias" in name and HEAD in name for name in critic.trainable()) == 1  # the offset is trained


@pytest.mark.parametrize("lora", [None, Lora(4, 8)])
def test_the_critic_of_a_process_reward_model_starts_at_zero(tmp_path: Path, lora: Lora | None) -> None:
    critic = load_critic(str(save_process_reward_model(tmp_path)), lora=lora)
    assert critic.steps is None and (critic.scale.mean, critic.scale.std) == (0.25, 0.5)
    assert not critic.state_values(batch_of(critic)).any()
