"""Ensembles, constraints, guards and admission in PPO and GRPO, as whole runs."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import pytest
from pytest import approx
from safetensors.torch import load_file

from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, GateRefused, ProjectError
from fairlead.core.seed import derive_seed
from fairlead.data.record_reader import read_prompts
from fairlead.encoding.batching import step_rows
from fairlead.model.policy import load_policy
from fairlead.recipes import grpo, ppo, reward
from fairlead.rollout.engine import LocalEngine, sample_rollouts
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.store.artifact import MANIFEST, Provenance, publish_artifact
from fairlead.store.project import Project
from fairlead.train import guard
from fairlead.train.settings import Guard
from fakes import Trained, check_finished, configuration, project_with_base, train

PPO = {
    "name": "aligned",
    "model": "base",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "rank": 0,
    "steps": 8,
    "batch": 16,
    "epochs": 2,
    "minibatches": 2,
    "max_new_tokens": 8,
    "lr": 5e-3,
    "critic_lr": 3e-3,
    "warmup": 1,
    "kl_coef": 0.01,
    "checkpoints.every": 3,
}
GRPO = {key: value for key, value in PPO.items() if key not in ("critic_lr", "minibatches")} | {
    "group": 4,
    "epochs": 1,
}
RECIPES = [pytest.param(ppo, PPO, id="ppo"), pytest.param(grpo, GRPO, id="grpo")]
SHORT = "rule:data/short.py"


def project_for(root: Path) -> Project:
    """With a rule that likes short answers, 0 at best."""
    project = project_with_base(root)
    (project.data / "short.py").write_text(
        "def score(prompt, answer, finished):\n    return -len(answer) / 10\n"
    )
    return project


def events(made: Trained, kind: str) -> list[dict[str, Any]]:
    return [row for _, row in jsonl.read(made.folder / "events.jsonl") if row["event"] == kind]


def ensemble(project: Project, name: str, *, rank: int) -> None:
    """Two reward models of different seeds, published as one."""
    for number in (0, 1):
        settings = {
            "model": "base",
            "comparisons": "data/comparisons.jsonl",
            "batch": 8,
            "held_out": 0.2,
            "rank": rank,
        }
        train(project, reward, name=f"{name}-{number}", seed=number, **settings)
    one, two = (project.artifacts / "reward-model" / f"{name}-{number}" for number in (0, 1))

    def fill(folder: Path) -> None:
        for source, place in ((one, folder), (two, folder / "member-1")):
            shutil.copytree(source, place, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
        adapter = folder / "member-1" / "adapter" / "adapter_config.json"
        if adapter.exists():  # one folder deeper than it stood
            settings = json.loads(adapter.read_text())
            settings["base_model_name_or_path"] = f"../{settings['base_model_name_or_path']}"
            adapter.write_text(json.dumps(settings))

    publish_artifact(
        project, "reward-model", name, Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )


@pytest.mark.parametrize("recipe, settings", RECIPES)
@pytest.mark.parametrize("rank", [0, 4])
def test_an_ensemble_pays_and_its_disagreement_is_logged(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any], rank: int
) -> None:
    project = project_for(tmp_path)
    ensemble(project, "judges", rank=rank)
    rows = {}
    for pool in ("mean", "worst", "mean-variance"):
        chosen = settings | {
            "reward": "judges",
            "trust": "judges",
            "rank": rank,
            "pool": pool,
            "pool_lambda": 2.0,
            "name": f"by-{pool}",
            "steps": 2,
        }
        made = train(project, recipe, **chosen)
        rows[pool] = made.rows[0]
        check_finished(project, recipe, made, **chosen)
        if rank and recipe is ppo:
            assert events(made, "roles")[0]["networks"] == 1
    # The first answers are the same in all runs, and so is what the members say of them.
    assert rows["mean"]["score_std"] == rows["worst"]["score_std"] > 0.01
    assert rows["worst"]["score"] < rows["mean"]["score"] > rows["mean-variance"]["score"]
    # of two members, the worst lies one standard deviation below the mean
    assert rows["worst"]["score"] == approx(rows["mean"]["score"] - rows["mean"]["score_std"], abs=1e-4)


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_a_constraint_that_does_not_hold_raises_its_multiplier(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    project = project_for(tmp_path)
    rewards = {"constraints": {SHORT: -0.2}, "extra": {"rule:data/vowels.py": 0.5}}
    chosen = settings | rewards | {"constraint_lr": 2.0, "steps": 4}
    made = train(project, recipe, **chosen)
    check_finished(project, recipe, made, **chosen)
    lam = 0.0
    for row in made.rows:
        assert row[f"multiplier.{SHORT}"] == approx(lam, abs=1e-5)
        lam = max(0.0, lam + 2.0 * (-0.2 - row[f"score.{SHORT}"]))
        assert row["score.rule:data/vowels.py"] == approx(row["score"], abs=1e-6)  # the same rule twice
    assert lam > 1


def test_a_constraint_moves_the_policy(tmp_path: Path) -> None:
    project = project_for(tmp_path)
    held = train(
        project, ppo, **PPO | {"constraints": {SHORT: -0.2}, "constraint_lr": 2.0, "steps": 12, "batch": 24}
    )
    free = train(project, ppo, **PPO | {"extra": {SHORT: 0.0}, "steps": 12, "batch": 24, "name": "free"})
    short_held, short_free = (mean(made.series(f"score.{SHORT}")[-4:]) for made in (held, free))
    assert short_held > short_free + 0.1


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_a_run_over_its_budget_stops_with_the_weights_of_its_best_step(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    project = project_for(tmp_path)
    chosen = settings | {"kl_budget": 0.3, "probe": SHORT}
    made = train(project, recipe, **chosen)
    check_finished(project, recipe, made, **chosen)
    [back] = events(made, "rolled back")
    rows = made.rows
    assert len(rows) == back["step"] + 1 < 8  # it stopped
    assert rows[-1]["kl"] > 0.3 and all(row["kl"] <= 0.3 for row in rows[:-1])
    assert "policy_loss" not in rows[-1]  # and did not learn from there
    best = max(
        range(len(rows) - 1), key=lambda i: rows[i]["probe"]
    )  # what row i measured is true after i steps
    published = made.artifact.manifest.metrics["published"]
    assert published["step"] == back["to"] == best and published["why"].startswith("rolled back: KL was")
    assert made.artifact.manifest.metrics["probe"] == rows[best]["probe"]
    kept = load_file(made.folder / "best" / f"step-{best:08d}" / "weights.safetensors")
    saved = load_file(made.artifact.folder / "model.safetensors")
    prefix = "policy." if recipe is ppo else ""
    assert all(bool((saved[name] == kept[prefix + name]).all()) for name in saved)
    assert any(name.startswith(prefix) for name in kept)
    assert any("guard: after step" in event["text"] for event in events(made, "warning"))


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_a_run_that_goes_on_pays_more_for_kl(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    made = train(project_for(tmp_path), recipe, **settings | {"kl_budget": 0.3, "on_breach": "continue"})
    backs = events(made, "rolled back")
    assert len(made.rows) == 9 and backs
    prices = [row["kl_coef"] for row in made.rows]
    assert prices[0] == approx(0.01) and prices[-1] == approx(
        0.01 * 2 ** sum(back["step"] < 8 for back in backs)
    )
    assert made.artifact.manifest.metrics["kl"] <= 0.3


@pytest.mark.parametrize("recipe, settings", RECIPES)
@pytest.mark.parametrize("on_breach", ["stop", "continue"])
def test_what_the_last_step_left_is_held_to_the_budget_too(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any], on_breach: str
) -> None:
    project = project_for(tmp_path)
    made = train(
        project,
        recipe,
        **settings | {"steps": 1, "warmup": 0, "lr": 0.02, "kl_budget": 0.3, "on_breach": on_breach},
    )
    assert [row["kl"] > 0.3 for row in made.rows] == [False, True]
    assert "policy_loss" in made.rows[0] and "policy_loss" not in made.rows[1] and "lr" not in made.rows[1]
    published = made.artifact.manifest.metrics["published"]
    assert published["step"] == 0 and published["why"].startswith("rolled back: KL was")
    base, saved = (
        load_file(project.artifacts / "model" / name / "model.safetensors") for name in ("base", "aligned")
    )
    assert all(bool((saved[name] == base[name]).all()) for name in saved)
    [back] = events(made, "rolled back")
    assert back["then"] == "stopped"


def sampled_again(project: Project, recipe: ModuleType, settings: dict[str, Any], step: int) -> float:
    """The score of the answers that the published model gives, drawn as in the run's measurement after this
    many steps.
    """
    policy = load_policy(str(project.artifacts / "model" / settings["name"]))
    per_prompt = settings.get("group", 1)
    prompts = [row.prompt for row in read_prompts(project.data / "prompts.jsonl")]
    index = step_rows(len(prompts), settings["batch"] // per_prompt, step + 1, run_seed=0, drop_last=True)[
        step
    ]
    request = SampleRequest(
        prompts=[policy.encode_prompt(prompts[i]) for i in index for _ in range(per_prompt)],
        params=SamplingParams(max_new_tokens=settings["max_new_tokens"]),
        seed=derive_seed(0, recipe.__name__.rpartition(".")[2], step),
    )
    rollouts = sample_rollouts(LocalEngine(policy), policy, request)
    return mean(sum(c in "aeiou" for c in policy.text(rollout.tokens)) / 4 for rollout in rollouts)


@pytest.mark.parametrize("recipe, settings", RECIPES)
@pytest.mark.parametrize(
    "guarded",
    [
        {"kl_budget": 0.3},
        {"kl_budget": 0.3, "on_breach": "continue"},
        {"kl_budget": 0.3, "on_breach": "continue", "steps": 2},
        {"kl_budget": 1e9},
        {"kl_budget": 1e9, "probe": "rule:data/vowels.py", "keep": "best"},
    ],
    ids=["stops", "goes on", "goes back in its last step", "holds", "keeps the best"],
)
def test_the_figures_are_those_of_the_weights_that_are_written(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any], guarded: dict[str, Any]
) -> None:
    project = project_for(tmp_path)
    chosen = settings | guarded
    made = train(project, recipe, **chosen)
    told = made.artifact.manifest.metrics
    if guarded.get("steps"):
        assert [(back["step"], back["to"]) for back in events(made, "rolled back")][0] == (1, 0) and told[
            "published"
        ]["step"] == 2
    assert told["score"] == approx(
        sampled_again(project, recipe, chosen, told["published"]["step"]), abs=1e-6
    )


def measures(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The quality of each step that the guard judges from here on."""
    qualities: list[float] = []
    judge_step = guard.judge_step

    def recording_judge(
        settings: Guard, remembered: Mapping[str, float], *, step: int, kl: float | None, quality: float
    ) -> guard.Decision:
        qualities.append(quality)
        return judge_step(settings, remembered, step=step, kl=kl, quality=quality)

    monkeypatch.setattr(guard, "judge_step", recording_judge)
    return qualities


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_without_a_probe_the_best_is_found_on_a_scale_that_does_not_move(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = measures(monkeypatch)
    paid = {"constraints": {SHORT: 0.5}, "constraint_lr": 2.0, "kl_coef": 0.1, "unfinished_penalty": 0.5}
    made = train(
        project_for(tmp_path), recipe, **settings | paid | {"kl_budget": 0.5, "on_breach": "continue"}
    )
    assert made.series(f"multiplier.{SHORT}")[-1] > 1 and len(set(made.series("kl_coef"))) > 1
    assert told == approx([row["score"] - 0.5 * (1 - row["finished_frac"]) for row in made.rows], abs=1e-5)


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_the_best_step_by_the_probe_is_what_is_written(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    project = project_for(tmp_path)  # the policy is paid for vowels, and the probe likes what is short
    made = train(project, recipe, **settings | {"probe": SHORT, "keep": "best"})
    probes = made.series("probe")
    published = made.artifact.manifest.metrics["published"]
    assert published["step"] == max(range(9), key=lambda i: probes[i]) and len(probes) == 9
    assert published["why"].startswith("the best by the probe")
    assert made.artifact.manifest.metrics["probe"] == max(probes)


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_the_best_may_be_what_the_last_step_left(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    project = project_for(tmp_path)
    # What is asked later scores more, so that each measurement is better than the one before.
    (project.data / "later.py").write_text(
        "asked = []\n\n\ndef score(prompt, answer, finished):\n    asked.append(answer)\n    return "
        "len(asked)\n"
    )
    made = train(project, recipe, **settings | {"probe": "rule:data/later.py", "keep": "best", "steps": 2})
    assert made.artifact.manifest.metrics["published"]["step"] == 2
    assert made.artifact.manifest.metrics["probe"] == made.rows[2]["probe"]


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_to_watch_a_run_does_not_change_it(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    project = project_for(tmp_path)
    plain = train(project, recipe, **settings | {"epochs": 2})
    watched = train(project, recipe, **settings | {"epochs": 2, "kl_budget": 1e9, "name": "watched"})
    assert plain.rows == watched.rows[:-1]  # and then it measures once more
    one, other = (load_file(made.artifact.folder / "model.safetensors") for made in (plain, watched))
    assert all(bool((one[name] == other[name]).all()) for name in one)


def test_to_watch_one_pass_changes_no_more_than_rounding_does(tmp_path: Path) -> None:
    project = project_for(tmp_path)
    settings = GRPO | {"steps": 4, "lr": 1e-3}
    plain = train(project, grpo, **settings)
    watched = train(project, grpo, **settings | {"kl_budget": 1e9, "name": "watched"})
    assert len(plain.rows) == 4 and len(watched.rows) == 5
    for row, other in zip(plain.rows, watched.rows, strict=False):
        assert other.pop("ratio") == approx(
            1, abs=1e-5
        )  # which is known only where the old log-probabilities are computed apart
        assert other == approx(row, rel=1e-4, abs=1e-5)
    assert abs(plain.rows[-1]["kl"]) > 1e-3  # it has learned something meanwhile


@pytest.mark.parametrize("recipe, settings", RECIPES)
def test_a_refused_reward_model_is_not_trained_on(
    tmp_path: Path, recipe: ModuleType, settings: dict[str, Any]
) -> None:
    project = project_for(tmp_path)
    train(
        project,
        reward,
        name="judge",
        model="base",
        comparisons="data/comparisons.jsonl",
        batch=8,
        rank=0,
        held_out=0.2,
    )
    report = {"verdict": "refuse", "reasons": ["No better than length."]}
    (project.artifacts / "reward-model" / "judge" / "admission.json").write_text(json.dumps(report))
    for paid in ({"reward": "judge"}, {"extra": {"judge": 0.1}}, {"constraints": {"judge": 0.1}}):
        with pytest.raises(GateRefused, match="No better than length"):
            train(project, recipe, **settings | paid)
    made = train(project, recipe, **settings | {"reward": "judge", "trust": "judge", "steps": 1})
    assert any("No better than length" in event["text"] for event in events(made, "warning"))
    train(
        project, recipe, **settings | {"probe": "judge", "steps": 1, "name": "probed"}
    )  # nothing is learned from a probe


def test_a_reward_that_is_not_there_is_named_by_its_field(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"constraints\.harmles = 'harmles': no such reward-model"):
        train(project_for(tmp_path), ppo, **PPO | {"constraints": {"harmles": 0.0}})


def test_the_config_refuses_what_cannot_be() -> None:
    for recipe, settings in ((ppo, PPO), (grpo, GRPO)):
        for wrong, message in (
            ({"keep": "best"}, "needs a probe"),
            ({"probe_drop": 0.1}, "needs a probe"),
            ({"kl_budget": -1.0}, "must not be negative"),
            ({"pool_lambda": -1.0}, "must not be negative"),
            ({"on_breach": "continue", "kl_coef": 0.0}, "needs a kl_coef above 0"),
        ):
            with pytest.raises(ConfigError, match=message):
                configuration(recipe, settings | wrong)
    with pytest.raises(ConfigError, match="kl_budget = 1.0: needs a kl_coef above 0"):
        configuration(grpo, GRPO | {"kl_budget": 1.0, "kl_coef": 0.0})
    with pytest.raises(ConfigError, match="critic_warmup = 8: must lie between 0 and steps - 1"):
        configuration(ppo, PPO | {"critic_warmup": 8})


def test_trust_names_a_reward_model_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trust = 'judge': judge is not a reward model of this run"):
        train(project_for(tmp_path), ppo, **PPO | {"trust": "judge"})
