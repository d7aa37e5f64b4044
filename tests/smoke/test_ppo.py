from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev

import pytest
import torch
from peft import PeftModel
from pytest import approx
from torch import Tensor, tensor

from fairlead.core import jsonl
from fairlead.core.errors import DataError, NonFiniteStep
from fairlead.data.record_writer import write_records
from fairlead.encoding.batching import collate, minibatches
from fairlead.encoding.chat import Encoded
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import ppo, reward
from fairlead.rollout.engine import LocalEngine
from fairlead.rollout.records import Rollout, SampleRequest
from fairlead.simulate import campaign
from fairlead.store.project import Project
from fairlead.store.run import open_run
from fakes import Trained, check_finished, configuration, policy, project_with_base, train
from rl_steps import gradients as gradients_of
from rl_steps import run_step

SETTINGS = {
    "name": "aligned",
    "model": "base",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "steps": 5,
    "batch": 16,
    "epochs": 2,
    "minibatches": 2,
    "max_new_tokens": 8,
    "lr": 3e-3,
    "critic_lr": 3e-3,
    "warmup": 2,
    "unfinished_penalty": 0.5,
    "checkpoints.every": 2,
}


def check_books(made: Trained, *, penalty: float) -> None:
    """What must hold in any run that begins at its reference."""
    first = made.rows[0]
    assert first["kl"] == approx(0, abs=1e-3)
    assert first["kl_k3"] == approx(0, abs=1e-4)
    for row in made.rows:
        assert row["reward"] == approx(
            row["score"] - penalty * (1 - row["finished_frac"]) - row["kl_coef"] * row["kl"], abs=1e-4
        )
        assert row["sampler_gap"] < 1e-4
        assert 0 <= row["clip_frac"] <= 1 and row["kl_k3"] >= 0
        assert 0 < row["response_tokens"] <= 8
    assert made.rows[-1]["kl_k3"] > 0  # it moved


def judge(project: Project) -> None:
    train(
        project,
        reward,
        name="judge",
        model="base",
        comparisons="data/comparisons.jsonl",
        epochs=1,
        batch=8,
        rank=0,
        held_out=0.2,
    )


@pytest.mark.parametrize("rank", [0, 4])
def test_with_a_rule(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    made = train(project, ppo, **settings)
    assert len(made.rows) == 5
    check_books(made, penalty=0.5)
    assert load_policy(str(made.artifact.folder)).network.num_parameters() > 0
    check_finished(project, ppo, made, **settings)


@pytest.mark.parametrize("rank, base_bits", [(0, 32), (4, 32), (4, 4)])
def test_with_a_reward_model(tmp_path: Path, rank: int, base_bits: int) -> None:
    project = project_with_base(tmp_path, hidden=64 if base_bits == 4 else 32)
    judge(project)
    settings = SETTINGS | {
        "rank": rank,
        "base_bits": base_bits,
        "reward": "judge",
        "trust": "judge",
        "probe": "rule:data/vowels.py",
    }
    made = train(project, ppo, **settings)
    check_books(made, penalty=0.5)
    assert all("probe" in row for row in made.rows)
    check_finished(project, ppo, made, **settings)


def test_with_a_reward_model_on_the_policys_own_network(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(
        project,
        reward,
        name="judge",
        model="base",
        comparisons="data/comparisons.jsonl",
        batch=8,
        rank=4,
        held_out=0.2,
    )
    settings = SETTINGS | {"rank": 4, "reward": "judge", "trust": "judge"}
    made = train(project, ppo, **settings)
    check_books(made, penalty=0.5)
    said = [event for _, event in jsonl.read(made.folder / "events.jsonl") if event["event"] == "roles"]
    assert said[0]["networks"] == 1
    check_finished(project, ppo, made, **settings)


def test_adapters_are_switched_as_often_whatever_the_number_of_micro_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one network, policy and critic change places per minibatch and not per micro-batch."""
    switches: list[str] = []
    plain = PeftModel.set_adapter

    def counted(network: PeftModel, name: str, *rest: bool) -> None:
        switches.append(name)
        plain(network, name, *rest)

    monkeypatch.setattr(PeftModel, "set_adapter", counted)
    project = project_with_base(tmp_path)
    numbers = []
    for micro_tokens in (16, 4096):
        switches.clear()
        name = f"with-{micro_tokens}"
        train(project, ppo, **SETTINGS | {"name": name, "rank": 4, "steps": 2, "micro_tokens": micro_tokens})
        numbers.append(len(switches))
    assert numbers[0] == numbers[1] > 0


def test_with_the_gold_rule(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    write_records(project.data / "toy.jsonl", campaign.prompts(24, 0, purpose="ppo", held_out=False))
    gold = "rule:fairlead.simulate.gold"
    settings = SETTINGS | {"rank": 4, "reward": gold, "probe": gold, "prompts": "data/toy.jsonl"}
    made = train(project, ppo, **settings)
    check_books(made, penalty=0.5)
    assert made.series("probe") == made.series("score")
    check_finished(project, ppo, made, **settings)


def test_the_score_rises(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    more = {
        "rank": 0,
        "steps": 16,
        "batch": 40,
        "epochs": 4,
        "minibatches": 1,
        "lr": 5e-3,
        "kl_coef": 0.0,
        "unfinished_penalty": 0.0,
    }
    made = train(project, ppo, **SETTINGS | more)
    scores = made.series("score")
    assert mean(scores[-4:]) > mean(scores[:4]) + 0.15  # about 0.6 at first: vowels, a quarter point each


def test_a_high_price_of_kl_holds_the_policy_near_its_reference(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    far, near = (
        train(
            project,
            ppo,
            **SETTINGS | {"rank": 0, "steps": 6, "batch": 20, "name": f"at-{price}", "kl_coef": price},
        )
        for price in (0.0, 5.0)
    )
    assert mean(near.series("kl_k3")[-3:]) < mean(far.series("kl_k3")[-3:])


def test_the_adaptive_controller_follows_its_rule(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(
        project,
        ppo,
        **SETTINGS | {"rank": 0, "batch": 20, "kl_coef": 0.2, "kl_target": 0.1, "kl_horizon": 100},
    )
    prices = []
    for row, after in pairwise(made.rows):
        error = min(max(row["kl"] / 0.1 - 1, -0.2), 0.2)
        assert after["kl_coef"] == approx(
            row["kl_coef"] * (1 + error * 0.2), rel=1e-6
        )  # 20 answers of a horizon of 100
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
    # 40 prompts, 16 a step: the third step has 8 rows.  The gradient's norm is near the others', not a
    # fraction of them
    made = train(
        project_with_base(tmp_path),
        ppo,
        **SETTINGS | {"rank": 0, "minibatches": 5, "batch": 31, "lr": 1e-6},
    )
    norms = made.series("grad_norm")
    assert min(norms) > 0.4 * max(norms)


def test_drafts_save_time_and_change_nothing(tmp_path: Path) -> None:
    settings = SETTINGS | {
        "rank": 0,
        "lr": 1e-4,
        "warmup": 0,
        "steps": 6,
        "batch": 20,
        "reuse_rollouts": True,
    }
    # two steps see all of the 40 prompts
    made = train(project_with_base(tmp_path / "with"), ppo, **settings)
    reused = made.series("reused_frac")
    assert reused[:2] == [0, 0] and all(0.1 < share < 1 for share in reused[2:])
    check_books(made, penalty=0.5)

    class WithoutDrafts(LocalEngine):
        def sample(self, request: SampleRequest) -> list[Rollout]:
            return super().sample(replace(request, drafts=None))

    config = configuration(ppo, settings)
    with open_run(project_with_base(tmp_path / "without"), "ppo", config, kind=ppo.KIND, quiet=True) as run:
        other = Trained(ppo.main(config, run, open_engine=WithoutDrafts), run.folder)
    assert other.series("reused_frac") == [0] * 6
    rounding = {
        "sampler_gap": 0,
        "reused_frac": 0,
    }  # the sampler's own log-probabilities come from other products
    assert [row | rounding for row in other.rows] == [row | rounding for row in made.rows]
    without = train(project_with_base(tmp_path / "fresh"), ppo, **settings | {"reuse_rollouts": False})
    assert without.series("score")[2:] != made.series("score")[2:] and "reused_frac" not in without.rows[0]


def test_a_prompt_that_leaves_no_room_is_named(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    with pytest.raises(
        DataError, match=r"prompts.jsonl: 40 prompts of 40 leave no room for 250 new tokens.*record 1 has 10"
    ):
        train(project, ppo, **SETTINGS | {"max_new_tokens": 250})


def test_the_critic_can_learn_alone_first(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, ppo, **SETTINGS | {"rank": 0, "critic_warmup": 3, "kl_target": 1.0, "steps": 6})
    for row in made.rows[:3]:
        assert (
            "policy_loss" not in row and "grad_norm" not in row and row["lr"] == 0 and row["value_loss"] > 0
        )
        assert row["kl_coef"] == 0.05  # the controller waits for a policy that moves
    for row in made.rows[:4]:
        assert row["kl"] == approx(0, abs=1e-3)  # not a weight of it has moved
    assert made.rows[3]["lr"] > 0 and "policy_loss" in made.rows[3]
    assert made.rows[-1]["kl_k3"] > 1e-4
    plain = train(project, ppo, **SETTINGS | {"rank": 0, "steps": 3, "name": "plain"})
    assert plain.series("lr") == made.series("lr")[3:]  # the policy's schedule begins when it does


def test_rewards_can_be_centred_clipped_and_whitened(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": 0, "unfinished_penalty": 0.0, "kl_coef": 0.0, "lr": 1e-3}
    plain = train(project, ppo, **settings)
    centred = train(project, ppo, **settings | {"centre_reward": True, "name": "centred"})
    assert (
        centred.rows[0]["reward"] == approx(0, abs=1e-6)
        and centred.rows[0]["score"] == plain.rows[0]["score"] != 0
    )
    for row in centred.rows:  # the first step's mean is taken from all that follow, too
        assert row["reward"] == approx(row["score"] - plain.rows[0]["score"], abs=1e-5)
    clipped = train(project, ppo, **settings | {"score_clip": 0.25, "name": "clipped"})
    assert 0 <= clipped.rows[0]["reward"] <= 0.25 < plain.rows[0]["score"] == clipped.rows[0]["score"]
    white = train(project, ppo, **settings | {"whiten_rewards": True, "name": "white"})
    assert white.rows[0]["reward"] == plain.rows[0]["reward"]  # what is logged is before
    assert (
        white.rows[0]["value_loss"] > 1.2 * plain.rows[0]["value_loss"]
    )  # rewards of a few hundredths per token became larger


def test_kl_can_be_paid_by_k3(tmp_path: Path) -> None:
    made = train(
        project_with_base(tmp_path), ppo, **SETTINGS | {"rank": 0, "kl_penalty": "k3", "kl_coef": 0.3}
    )
    for row in made.rows:
        assert row["reward"] == approx(
            row["score"] - 0.5 * (1 - row["finished_frac"]) - 0.3 * row["kl_k3"], abs=1e-4
        )


def test_ptx_keeps_the_likelihood_of_its_rows_up(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": 0, "steps": 8, "ptx.data": "data/demonstrations.jsonl", "ptx.batch": 16}
    weak, strong = (
        train(project, ppo, **settings | {"name": f"with-{coef}", "ptx.coef": coef}) for coef in (1e-6, 5.0)
    )
    assert strong.rows[-1]["ptx_loss"] < 0.7 * strong.rows[0]["ptx_loss"]
    assert strong.rows[-1]["ptx_loss"] < 0.8 * weak.rows[-1]["ptx_loss"]
    check_finished(project, ppo, strong, **settings | {"name": "with-5.0", "ptx.coef": 5.0})


def rows_of(actor: Policy) -> list[Encoded]:
    """Prompts of two tokens, answers of one to five."""
    answers = [(5, 6, 7), (8,), (9, 10, 11, 12, 13), (14, 15)]
    return [
        Encoded((1, 2 + i, *answer), (False, False) + (True,) * len(answer))
        for i, answer in enumerate(answers)
    ]


def gradients(actor: Policy) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in actor.trainable().items() if p.grad is not None}
    for p in actor.trainable().values():
        p.grad = None
    return found


@pytest.mark.parametrize("micro_tokens", [1, 12, 10_000])
def test_the_ptx_loss_is_per_token_whatever_the_budget(tmp_path: Path, micro_tokens: int) -> None:
    actor = policy(tmp_path / "base")
    loss = ppo.ptx_backward(actor, rows_of(actor), 0.7, micro_tokens)
    found = gradients(actor)
    batch = collate(rows_of(actor), pad_id=actor.pad_id)
    expected = -actor.token_logps(batch)[batch.response_mask].mean()  # 11 tokens
    (0.7 * expected).backward()
    assert loss == approx(expected.item(), abs=1e-5)
    for name, grad in gradients(actor).items():
        torch.testing.assert_close(found[name], grad, atol=1e-6, rtol=1e-4)


def test_one_epoch_without_a_clip_is_reinforce_with_a_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gamma = lambda = 1, the gradient sums -(future rewards - baseline), whitened, * grad log pi."""
    step = run_step(ppo, tmp_path, monkeypatch, noise=0.0, clip=1e9, gamma=1.0, lam=1.0)
    token_rewards, old_values, _, _ = step.gae[0]
    actor = load_policy(str(tmp_path / "artifacts" / "model" / "base"))
    logps = actor.token_logps(step.batch)
    advantages, token_logps = [], []
    for row in range(len(step.batch)):
        positions = step.mask[row].nonzero().flatten().tolist()
        for i, t in enumerate(positions):
            to_come = sum(float(token_rewards[row, s]) for s in positions[i:])
            advantages.append(to_come - float(old_values[row, t]))
            token_logps.append(logps[row, t])
    whitened = (tensor(advantages) - mean(advantages)) / pstdev(advantages)
    expected = gradients_of(actor.trainable(), -(whitened * torch.stack(token_logps)).mean())
    torch.testing.assert_close(step.moments("optimizer"), expected, atol=1e-6, rtol=1e-4)
    assert expected.abs().max() > 0.05


def test_neither_network_moves_where_one_gradient_is_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(values: Tensor, *others: Tensor, clip: float) -> Tensor:
        return values * float("nan")

    monkeypatch.setattr(ppo, "clipped_value", broken)
    held: list[Policy] = []

    def engine(actor: Policy) -> LocalEngine:
        held.append(actor)
        return LocalEngine(actor)

    config = configuration(ppo, SETTINGS | {"rank": 0})
    project = project_with_base(tmp_path)
    with (
        open_run(project, "ppo", config, kind=ppo.KIND, quiet=True) as run,
        pytest.raises(NonFiniteStep, match="step 1: the gradient norm is nan. The weights are unchanged"),
    ):
        ppo.main(config, run, open_engine=engine)
    before = load_policy(str(project.artifacts / "model" / "base")).trainable()
    assert all(torch.equal(p, before[name]) for name, p in held[0].trainable().items())
