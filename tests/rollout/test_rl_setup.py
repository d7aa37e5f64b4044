"""Setting up PPO and GRPO: records for the loop, what a checkpoint holds, and updates of one network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fairlead.core import jsonl
from fairlead.core.errors import ModelError, NonFiniteStep
from fairlead.recipes import grpo, ppo
from fairlead.rollout import rl_setup
from fairlead.rollout.engine import LocalEngine
from fairlead.rollout.records import Rollout, SampleRequest
from fairlead.rollout.rl_setup import Actor, ActorCritic
from fairlead.store.run import Run, open_run
from fakes import configuration, project_with_base, train

SETTINGS = {
    "name": "aligned",
    "model": "base",
    "reward": "rule:data/vowels.py",
    "prompts": "data/prompts.jsonl",
    "steps": 2,
    "batch": 8,
    "max_new_tokens": 4,
    "lr": 0.01,
    "checkpoints.every": 1,
}


@contextmanager
def opened(root: Path, recipe: Any, **settings: Any) -> Iterator[tuple[Run, Any]]:
    project = project_with_base(root)
    config = configuration(recipe, SETTINGS | settings)
    with open_run(project, recipe.__name__.rpartition(".")[2], config, kind=recipe.KIND, quiet=True) as run:
        yield run, config


def prepare_actor(run: Run, config: Any) -> Actor:
    return rl_setup.prepare_actor(run, config, LocalEngine, prompts_per_step=2)


def test_an_actor_trains_its_policy_from_the_configured_state(tmp_path: Path) -> None:
    with opened(tmp_path, grpo, group=4, kl_coef=0.25, rank=0) as (run, config):
        actor = prepare_actor(run, config)
        assert actor.start == 0 and actor.state.numbers == {"kl_coef": 0.25}
        assert set(actor.state.parameters) == set(actor.policy.trainable())
        assert actor.updaters == (actor.policy_updater,)
        assert len(actor.prompts) == 40 and actor.micro_tokens == config.hardware.micro_tokens
        assert len(actor.policy.networks()) == 2  # all weights are trained, so the reference is a copy


def test_without_a_kl_term_no_reference_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path, grpo, group=4, kl_coef=0.0, rank=0) as (run, config):
        assert len(prepare_actor(run, config).policy.networks()) == 1


def test_policy_and_critic_have_separate_weights_and_learning_rates(tmp_path: Path) -> None:
    with opened(tmp_path, ppo, rank=4, critic_lr=0.5, reuse_rollouts=True) as (run, config):
        actor = rl_setup.prepare_actor_critic(
            run,
            config,
            LocalEngine,
            critic_start="reward",
            critic_lr=config.critic_lr,
            reuse_rollouts=True,
            ptx=config.ptx,
        )
        assert isinstance(actor, ActorCritic) and actor.ptx_rows == []
        names = set(actor.state.parameters)
        policy_names = {f"policy.{name}" for name in actor.policy.trainable()}
        critic_names = {f"critic.{name}" for name in actor.critic.trainable()}
        assert names == policy_names | critic_names | {"drafts"}
        assert set(actor.state.optimizers) == {"optimizer", "critic_optimizer"}
        assert [updater.optimizer.param_groups[0]["lr"] for updater in actor.updaters] == [0.01, 0.5]
        assert not actor.critic.head.weight.any()  # the reward is a rule, so the critic starts at zero
        events = [event for _, event in jsonl.read(run.folder / "events.jsonl")]
        assert [event["what"] for event in events if event["event"] == "paths"] == ["policy", "critic"]
        assert [event["networks"] for event in events if event["event"] == "roles"] == [
            1
        ]  # one shared network


def test_an_updater_clips_then_steps_and_refuses_gradients_that_are_not_finite(tmp_path: Path) -> None:
    with opened(tmp_path, grpo, group=4, rank=0, kl_coef=0.0, max_norm=1.0) as (run, config):
        updater = prepare_actor(run, config).policy_updater
        parameters = list(updater.master_weights.parameters.values())
        before = [parameter.detach().clone() for parameter in parameters]

        def set_gradients(value: float) -> None:
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, value)

        num_weights = sum(parameter.numel() for parameter in parameters)
        set_gradients(2.0)
        assert updater.clip(step=1) == pytest.approx(2 * num_weights**0.5, rel=1e-4)
        clipped = sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
        assert clipped == pytest.approx(1.0, rel=1e-3)
        set_gradients(float("nan"))
        with pytest.raises(NonFiniteStep):
            updater.clip(step=1)
        assert all(torch.equal(old, p) for old, p in zip(before, parameters, strict=True))
        set_gradients(2.0)
        updater.step(lr=0.01)
        for old, parameter in zip(before, parameters, strict=True):
            torch.testing.assert_close(parameter.detach(), old - 0.01, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("recipe", "more"), [(grpo, {"group": 4}), (ppo, {"critic": "policy"})])
def test_rewards_that_no_gradient_survives_are_named(
    tmp_path: Path, recipe: Any, more: dict[str, Any]
) -> None:
    project = project_with_base(tmp_path)
    (project.data / "huge.py").write_text("def score(prompt, answer, finished):\n    return -1e30\n")
    with pytest.raises(NonFiniteStep, match=r"step 1: a reward is -1e\+30, so large .*change the rule"):
        train(project, recipe, **SETTINGS | {"reward": "rule:data/huge.py", "steps": 1} | more)


def test_a_saved_state_is_resumed(tmp_path: Path) -> None:
    with opened(tmp_path, grpo, group=4, rank=4) as (run, config):
        actor = prepare_actor(run, config)
        with torch.no_grad():
            for parameter in actor.policy.trainable().values():
                parameter.add_(0.125)
        actor.state.numbers["kl_coef"] = 0.5
        rl_setup.save_if_due(run, actor, config, step=1)
        again = prepare_actor(run, config)
        assert again.start == 1 and again.state.numbers["kl_coef"] == 0.5
        expected = actor.policy.trainable()
        assert all(torch.equal(value, expected[name]) for name, value in again.policy.trainable().items())


class OtherPolicy(LocalEngine):
    """An engine whose weights are not the policy's: every log-probability is off by 0.1 nats."""

    def sample(self, request: SampleRequest) -> list[Rollout]:
        return [
            replace(rollout, logps=tuple(logp - 0.1 for logp in rollout.logps))
            for rollout in super().sample(request)
        ]


@pytest.mark.parametrize("recipe", [ppo, grpo], ids=["ppo", "grpo"])
def test_a_run_stops_after_its_first_step_when_sampling_and_training_disagree(
    tmp_path: Path, recipe: Any
) -> None:
    groups = {"group": 4} if recipe is grpo else {}
    with opened(tmp_path, recipe, steps=2, **groups) as (run, config):
        with pytest.raises(
            ModelError, match=r"step 1: sampler_gap = 0.1 nats.*At most 0.01.*max_sampler_gap"
        ):
            recipe.main(config, run, open_engine=OtherPolicy)
        assert run.latest_checkpoint() is None and run.finished is None
    with opened(tmp_path / "allowed", recipe, steps=2, max_sampler_gap=0.2, **groups) as (run, config):
        recipe.main(config, run, open_engine=OtherPolicy)
        assert [row["step"] for row in run.read_metrics()] == [1, 2]
