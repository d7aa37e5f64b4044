import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest import approx
from torch import tensor

from fairlead.model.adapters import Lora
from fairlead.model.ensemble import member_folders
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import new_reward_model
from fairlead.rollout.readable import Reward, Scores, all_readable
from fairlead.rollout.records import Answer
from fairlead.rollout.reward_mix import RewardMix
from fairlead.rollout.rewards import open_members, open_reward, score_by_member
from fairlead.train.settings import Rewards
from fakes import answers, save_model, shake, turns

PROMPTS = [turns("What is 3 plus 4?"), turns("One?", "Yes.", "What is 5 plus 6?")]
ANSWERS = ["The answer is 7.", "It is 11. The sky is blue."]
FINISHED = [True, True]
ASKED = answers(PROMPTS, ANSWERS, FINISHED)


def says(*scores: float) -> Reward:
    def reward(answers: Sequence[Answer]) -> Scores:
        return all_readable(tensor(scores))

    return reward


def test_a_single_reward_is_unchanged_to_the_bit() -> None:
    reward_mix = RewardMix(Rewards(), {"reward": [says(0.1, 0.7)]})
    scores = reward_mix.score(ASKED)
    assert torch.equal(reward_mix.total(scores, {}), tensor([0.1, 0.7])) and scores.spread is None
    assert reward_mix.metrics(scores, {}) == {"score": approx(0.4, abs=1e-6)}
    assert reward_mix.next_multipliers(scores, {}) == {}


def test_weights_and_constraints_by_hand() -> None:
    settings = Rewards(extra={"short": 0.5}, constraints={"harmless": 1.0})
    reward_mix = RewardMix(
        settings,
        {
            "reward": [says(1.0, 2.0)],
            "extra_rewards.short": [says(4.0, 0.0)],
            "constraints.harmless": [says(0.0, 3.0)],
        },
    )
    scores = reward_mix.score(ASKED)
    assert reward_mix.total(scores, {}).tolist() == [
        3.0,
        2.0,
    ]  # 1 + 0.5 * 4, 2 + 0; the multiplier begins at 0
    numbers = {"kl_coef": 0.1, "multiplier.harmless": 3.0}
    # (3 + 3 * (0 - 1)) / 4 and (2 + 3 * (3 - 1)) / 4
    assert reward_mix.total(scores, numbers).tolist() == [0.0, 2.0]
    assert reward_mix.metrics(scores, numbers) == {
        "score": 1.5,
        "score.short": 2.0,
        "score.harmless": 1.5,
        "multiplier.harmless": 3.0,
    }
    assert reward_mix.next_multipliers(scores, numbers) == {
        "multiplier.harmless": approx(2.95, abs=1e-6)
    }  # 3 + 0.1 * (1 - 1.5)


def test_an_ensemble_is_pooled_and_its_disagreement_measured() -> None:
    members = [says(1.0, 5.0), says(3.0, 5.0)]
    scores = RewardMix(Rewards(pool="worst"), {"reward": members}).score(ASKED)
    assert scores.main.tolist() == [1.0, 5.0]
    assert scores.spread is not None and scores.spread.tolist() == [1.0, 0.0]
    assert RewardMix(Rewards(pool="mean-variance", pool_lambda=0.5), {"reward": members}).score(
        ASKED
    ).main.tolist() == [1.5, 5.0]


def test_the_probe_and_the_penalty_are_measured_beside_the_total() -> None:
    reward_mix = RewardMix(Rewards(unfinished_penalty=0.5), {"reward": [says(1.0, 2.0)]})
    scores = reward_mix.score(answers(PROMPTS, ANSWERS, [True, False]))
    assert scores.penalty.tolist() == [0.0, 0.5] and scores.probe is None
    assert reward_mix.total(scores, {}).tolist() == [1.0, 2.0]
    assert reward_mix.quality(scores) == 1.25  # (1 + 2 - 0.5) / 2
    with_probe = RewardMix(Rewards(), {"reward": [says(1.0, 2.0)]}, probe=says(4.0, 5.0))
    scores = with_probe.score(ASKED)
    assert with_probe.quality(scores) == 4.5
    assert with_probe.metrics(scores, {}) == {"score": 1.5, "probe": 4.5}


def test_the_quality_has_no_multiplier_in_it() -> None:
    settings = Rewards(constraints={"harmless": 1.0})
    members = {"reward": [says(1.0, 2.0)], "constraints.harmless": [says(0.0, 3.0)]}
    reward_mix = RewardMix(settings, members)
    assert reward_mix.quality(reward_mix.score(ASKED)) == 1.5


# ---------------------------------------------------------------- ensembles in folders


def save_ensemble(folder: Path, *, lora: Lora | None) -> Path:
    """Three reward models on one base, as an ensemble."""
    base = save_model(folder / "base")
    home = folder / "ensemble"
    for number in range(3):
        model = new_reward_model(str(base), run_seed=number, lora=lora)
        shake(model.trainable(), seed=number, scale=0.02)
        model.set_scale(mean=0.1 * number, std=1.0 + number)
        model.save(home / f"member-{number}" if number else home)
    return home


@pytest.mark.parametrize("rank", [0, 4])
def test_members_score_as_they_would_alone(tmp_path: Path, rank: int) -> None:
    home = save_ensemble(tmp_path, lora=Lora(rank, 8) if rank else None)
    alone = []
    for member in member_folders(str(home)):
        shutil.copytree(
            member, tmp_path / "alone", ignore=shutil.ignore_patterns("member-*"), dirs_exist_ok=True
        )
        alone.append(open_reward(str(tmp_path / "alone"), micro_tokens=4096)(ASKED).values)
        shutil.rmtree(tmp_path / "alone")
    expected = torch.stack(alone)
    assert expected.std(dim=0).min() > 1e-3  # they differ
    policy = load_policy(str(tmp_path / "base"), lora=Lora(4, 8))
    networks = len(list(policy.network.named_parameters()))
    together = open_members(str(home), micro_tokens=4096, policy=policy)
    found = score_by_member(together, ASKED).values
    assert (found - expected).abs().max() < 1e-4
    assert (len(list(policy.network.named_parameters())) > networks) == (
        rank > 0
    )  # adapters on the policy's network, or models beside it
    pooled = open_reward(str(home), micro_tokens=4096, pool="mean-variance", pool_lambda=0.3)(ASKED).values
    array = expected.double().numpy()
    assert pooled.tolist() == approx(list(np.mean(array, axis=0) - 0.3 * np.var(array, axis=0)), abs=1e-4)
