from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from pytest import approx

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.writing import write_records
from fairlead.model.batch import minibatches
from fairlead.model.policy import load_policy
from fairlead.recipes import ppo, reward
from fairlead.rehearse import campaign
from fairlead.rollout.engines import LocalEngine
from fairlead.rollout.records import Rollout
from fairlead.store.project import Project
from fairlead.store.run import open_run
from fakes import Trained, check_finished, project_with_base, train

SETTINGS = {
    "name": "aligned", "model": "base", "prompts": "data/prompts.jsonl", "reward": "rule:data/vowels.py",
    "steps": 5, "batch": 16, "epochs": 2, "minibatches": 2, "max_new_tokens": 8, "lr": 3e-3, "critic_lr": 3e-3, "warmup": 2,
    "unfinished_penalty": 0.5, "checkpoint_every": 2,
}  # fmt: skip


def check_books(made: Trained, *, penalty: float) -> None:
    """What must hold in any run that begins at its reference."""
    first = made.rows[0]
    assert first["kl"] == approx(0, abs=1e-3)
    assert first["kl_k3"] == approx(0, abs=1e-4)
    for row in made.rows:
        assert row["reward"] == approx(row["score"] - penalty * (1 - row["finished_frac"]) - row["kl_coef"] * row["kl"], abs=1e-4)
        assert row["sampler_gap"] < 1e-4
        assert 0 <= row["clip_frac"] <= 1 and row["kl_k3"] >= 0
        assert 0 < row["response_tokens"] <= 8
    assert made.rows[-1]["kl_k3"] > 0  # it moved


def judge(project: Project) -> None:
    train(project, reward, name="judge", model="base", comparisons="data/comparisons.jsonl", epochs=1, batch=8, lora_rank=0, held_out=0.2)


@pytest.mark.parametrize("rank", [0, 4])
def test_with_a_rule(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"lora_rank": rank}
    made = train(project, ppo, **settings)
    assert len(made.rows) == 5
    check_books(made, penalty=0.5)
    assert load_policy(str(made.artifact.folder)).network.num_parameters() > 0
    check_finished(project, ppo, made, **settings)


@pytest.mark.parametrize("rank, base_bits", [(0, 32), (4, 32), (4, 4)])
def test_with_a_reward_model(tmp_path: Path, rank: int, base_bits: int) -> None:
    project = project_with_base(tmp_path, hidden=64 if base_bits == 4 else 32)
    judge(project)
    settings = SETTINGS | {"lora_rank": rank, "base_bits": base_bits, "reward": "judge", "probe": "rule:data/vowels.py"}
    made = train(project, ppo, **settings)
    check_books(made, penalty=0.5)
    assert all("probe" in row for row in made.rows)
    check_finished(project, ppo, made, **settings)


def test_with_a_reward_model_on_the_policys_own_network(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, reward, name="judge", model="base", comparisons="data/comparisons.jsonl", batch=8, lora_rank=4, held_out=0.2)
    settings = SETTINGS | {"lora_rank": 4, "reward": "judge"}
    made = train(project, ppo, **settings)
    check_books(made, penalty=0.5)
    said = [event for _, event in jsonl.read(made.folder / "events.jsonl") if event["event"] == "roles"]
    assert said[0]["networks"] == 1
    check_finished(project, ppo, made, **settings)


def test_with_the_gold_rule(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    write_records(project.data / "pocket.jsonl", campaign.prompts(24, 0, purpose="ppo", held_out=False))
    settings = SETTINGS | {"lora_rank": 4, "reward": "gold", "probe": "gold", "prompts": "data/pocket.jsonl"}
    made = train(project, ppo, **settings)
    check_books(made, penalty=0.5)
    assert made.series("gold") == made.series("score")
    check_finished(project, ppo, made, **settings)


def test_the_score_rises(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    more = {"lora_rank": 0, "steps": 16, "batch": 40, "epochs": 4, "minibatches": 1, "lr": 5e-3, "kl_coef": 0.0, "unfinished_penalty": 0.0}
    made = train(project, ppo, **SETTINGS | more)
    scores = made.series("score")
    assert mean(scores[-4:]) > mean(scores[:4]) + 0.15  # about 0.6 at first: vowels, a quarter point each


def test_a_high_price_of_kl_holds_the_policy_near_its_reference(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    far, near = (
        train(project, ppo, **SETTINGS | {"lora_rank": 0, "steps": 6, "batch": 20, "name": f"at-{price}", "kl_coef": price})
        for price in (0.0, 5.0)
    )
    assert mean(near.series("kl_k3")[-3:]) < mean(far.series("kl_k3")[-3:])


def test_the_adaptive_controller_follows_its_rule(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, ppo, **SETTINGS | {"lora_rank": 0, "batch": 20, "kl_coef": 0.2, "kl_target": 0.1, "kl_horizon": 100})
    prices = []
    for row, after in pairwise(made.rows):
        error = min(max(row["kl"] / 0.1 - 1, -0.2), 0.2)
        assert after["kl_coef"] == approx(row["kl_coef"] * (1 + error * 0.2), rel=1e-6)  # 20 answers of a horizon of 100
        prices.append(after["kl_coef"])
    assert made.rows[0]["kl_coef"] == 0.2 and prices[0] < 0.2  # no KL at first


def test_an_epoch_whose_last_part_is_short_still_averages_over_its_updates(tmp_path: Path) -> None:
    for num_rows in (1, 3, 5, 16):
        parts = minibatches(range(num_rows), 3, 4, run_seed=7)
        per_epoch = len(parts) // 3
        assert per_epoch <= 4 and len(parts) == 3 * per_epoch
        for epoch in range(3):
            rows = [row for part in parts[epoch * per_epoch : (epoch + 1) * per_epoch] for row in part]
            assert sorted(rows) == list(range(num_rows))
    # 40 prompts, 16 a step: the third step has 8 rows.  The gradient's norm is near the others', not a fraction of them
    made = train(project_with_base(tmp_path), ppo, **SETTINGS | {"lora_rank": 0, "minibatches": 5, "batch": 31, "lr": 1e-6})
    norms = made.series("grad_norm")
    assert min(norms) > 0.4 * max(norms)


def test_drafts_save_time_and_change_nothing(tmp_path: Path) -> None:
    settings = SETTINGS | {"lora_rank": 0, "lr": 1e-4, "warmup": 0, "steps": 6, "batch": 20, "reuse_rollouts": True}
    # two steps see all of the 40 prompts
    made = train(project_with_base(tmp_path / "with"), ppo, **settings)
    reused = made.series("reused_frac")
    assert reused[:2] == [0, 0] and all(0.1 < share < 1 for share in reused[2:])
    check_books(made, penalty=0.5)

    class WithoutDrafts(LocalEngine):
        def sample(self, *asked: Any, **options: Any) -> list[Rollout]:
            return super().sample(*asked, **options | {"drafts": None})

    config = ppo.Config(**settings)  # type: ignore[arg-type]
    with open_run(project_with_base(tmp_path / "without"), "ppo", config, kind=ppo.KIND, quiet=True) as run:
        other = Trained(ppo.main(config, run, open_engine=WithoutDrafts), run.folder)
    assert other.series("reused_frac") == [0] * 6
    rounding = {"sampler_gap": 0, "reused_frac": 0}  # the sampler's own log-probabilities come from other products
    assert [row | rounding for row in other.rows] == [row | rounding for row in made.rows]
    without = train(project_with_base(tmp_path / "fresh"), ppo, **settings | {"reuse_rollouts": False})
    assert without.series("score")[2:] != made.series("score")[2:] and "reused_frac" not in without.rows[0]


def test_a_prompt_that_leaves_no_room_is_named(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    with pytest.raises(DataError, match=r"data/prompts.jsonl: record \d+: the prompt has \d+ tokens; with 250 new ones"):
        train(project, ppo, **SETTINGS | {"max_new_tokens": 250})
