"""What a reward model can learn from besides plain choices.

The first logged loss is worked out again from a fresh model's scores.
"""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest import approx

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError, ModelError, ProjectError
from fairlead.data.parsing import parse_row
from fairlead.data.row_problem import RowLocation
from fairlead.data.split import is_held_out
from fairlead.encoding.batching import collate
from fairlead.model.adapters import Lora
from fairlead.model.critic import load_critic
from fairlead.model.ensemble import member_folders
from fairlead.model.policy import load_policy
from fairlead.model.reward_model import (
    load_reward_model,
    load_shared_reward_model,
    new_reward_model,
    shares_base,
)
from fairlead.recipes import reward
from fairlead.store.project import Project
from fakes import WORDS, Trained, check_finished, project_with_base, train
from smoke.test_reward import score

SETTINGS: dict[str, Any] = {
    "name": "judge",
    "model": "base",
    "comparisons": "data/comparisons.jsonl",
    "rank": 0,
    "epochs": 3,
    "batch": 8,
    "lr": 3e-3,
    "warmup": 2,
    "held_out": 0.2,
    "measure_every": 5,
    "checkpoints.every": 7,
}
ONE_BATCH = SETTINGS | {"epochs": 1, "batch": 1000, "warmup": 1}


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def rows_of(project: Project, name: str = "comparisons") -> list[dict[str, Any]]:
    return [row for _, row in jsonl.read(project.data / f"{name}.jsonl")]


def change(project: Project, edit: Callable[[int, dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    """Every comparison with what `edit` adds to it."""
    rows = [row | edit(i, row) for i, row in enumerate(rows_of(project))]
    jsonl.write(project.data / "comparisons.jsonl", rows)
    return rows


def write_rankings(project: Project) -> list[dict[str, Any]]:
    """Three or four answers to prompts of their own; every third has two that are alike."""
    rows = []
    for i, word in enumerate(WORDS * 3):
        answers = [
            said(f"It is {word}."),
            said("It is what it is."),
            said("Please! " * (1 + i % 2)),
            said("No."),
        ]
        ranks = ([-5, 2, 9, 9] if i % 3 == 0 else [1, 2, 3, 4])[: 3 + i % 2]
        prompt = [{"role": "user", "content": f"Tell {i} of {word}."}]
        rows.append({"prompt": prompt, "completions": answers[: 3 + i % 2], "ranks": ranks})
    jsonl.write(project.data / "rankings.jsonl", rows)
    return rows


def trained(rows: list[dict[str, Any]], kind: Any = "comparison") -> list[dict[str, Any]]:
    """The rows that are not held out."""
    return [
        row
        for i, row in enumerate(rows)
        if not is_held_out(parse_row(kind, row, RowLocation("rows", i)), held_out=0.2, seed=0)
    ]


def first_loss(project: Project, **settings: Any) -> float:
    return train(project, reward, **ONE_BATCH | settings).series("loss")[0]


def differences(project: Project, rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """The scores of chosen and rejected before anything is learned."""
    model = new_reward_model(str(project.artifacts / "model" / "base"), run_seed=0)
    return [
        (score(model, row["prompt"] + row["chosen"]), score(model, row["prompt"] + row["rejected"]))
        for row in rows
    ]


def log_sigma(x: float) -> float:
    return -math.log1p(math.exp(-x))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# ---------------------------------------------------------------- comparisons


def test_margins_flips_and_smoothing_in_the_first_loss(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = trained(change(project, lambda i, row: {"margin": i % 4} if i % 5 else {}))
    pairs = differences(project, rows)
    found = first_loss(project, name="margin", margin_scale=0.5)
    expected = [
        -log_sigma(a - b - 0.5 * row.get("margin", 0)) for (a, b), row in zip(pairs, rows, strict=True)
    ]
    assert found == approx(mean(expected), abs=1e-5)
    assert abs(found - mean([-log_sigma(a - b) for a, b in pairs])) > 0.1  # or the margins would not matter
    found = first_loss(project, name="noisy", flip_rate=0.2, label_smoothing=0.1)
    shares = [0.8 * math.exp(log_sigma(a - b)) + 0.2 * math.exp(log_sigma(b - a)) for a, b in pairs]
    assert found == approx(mean([-0.9 * math.log(p) - 0.1 * math.log(1 - p) for p in shares]), abs=1e-5)


def test_weights_in_the_first_loss_and_rows_of_no_weight(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = change(
        project,
        lambda i, row: (
            {"weight": (0, 1, 2.5)[i % 3]}
            | ({"chosen": row["rejected"], "rejected": row["chosen"]} if i % 3 == 0 else {})
        ),
    )
    made = train(project, reward, **ONE_BATCH)
    counted = [row for row in trained(rows) if row["weight"]]
    losses = [
        -log_sigma(a - b) * row["weight"]
        for (a, b), row in zip(differences(project, counted), counted, strict=True)
    ]
    assert made.series("loss")[0] == approx(sum(losses) / sum(row["weight"] for row in counted), abs=1e-5)
    assert made.artifact.manifest.metrics["no_use"] == sum(row["weight"] == 0 for row in rows) > 0


def test_ties_in_the_first_loss(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = trained(change(project, lambda i, row: {"tie": ("good", "bad")[i % 2]} if i % 3 == 0 else {}))
    expected = []
    for (a, b), row in zip(differences(project, rows), rows, strict=True):
        weights = [math.exp((a - b) / 2), 0.5, math.exp((b - a) / 2)]
        if row.get("tie"):
            sign = 1 if row["tie"] == "good" else -1
            expected.append(
                -math.log(weights[1] / sum(weights)) - 0.3 * (log_sigma(sign * a) + log_sigma(sign * b)) / 2
            )
        else:
            expected.append(-math.log(weights[0] / sum(weights)))
    assert first_loss(project, ties="learn", tie_pull=0.3) == approx(mean(expected), abs=1e-5)


def test_ties_teach_what_is_good_and_what_is_bad(tmp_path: Path) -> None:
    """Every tie is between answers of which one is never compared; it learns its place from the tie alone."""
    project = project_with_base(tmp_path)
    change(
        project,
        lambda i, row: (
            (
                {"tie": "good", "rejected": said("The sky is blue.")}
                if i % 2
                else {"tie": "bad", "chosen": said("What is it?")}
            )
            if i % 4 < 2
            else {}
        ),
    )
    settings = SETTINGS | {"ties": "learn", "tie_pull": 1.0, "epochs": 6}
    made = train(project, reward, **settings)
    model = load_reward_model(str(made.artifact.folder))
    good, bad = (
        score(model, [{"role": "user", "content": "Say fox."}, *said(text)])
        for text in ("The sky is blue.", "What is it?")
    )
    assert good > 0.5 and bad < -0.5
    assert 0.2 < made.artifact.manifest.metrics["tie_rate"] < 0.9
    check_finished(project, reward, made, **settings)


# ---------------------------------------------------------------- rankings


@pytest.mark.parametrize("kind", ["plackett-luce", "pairs"])
def test_rankings_and_comparisons_in_the_first_loss(tmp_path: Path, kind: str) -> None:
    project = project_with_base(tmp_path)
    rankings = trained(write_rankings(project), "ranking")
    model = new_reward_model(str(project.artifacts / "model" / "base"), run_seed=0)
    expected = [-log_sigma(a - b) for a, b in differences(project, trained(rows_of(project)))]
    for row in rankings:
        scores = [score(model, row["prompt"] + answer) for answer in row["completions"]]
        ranks, k = row["ranks"], range(len(scores))
        if kind == "pairs":
            expected.append(
                mean([-log_sigma(scores[i] - scores[j]) for i in k for j in k if ranks[i] < ranks[j]])
            )
        else:
            rivals = [
                math.exp(scores[i]) + sum(math.exp(scores[j]) for j in k if ranks[i] < ranks[j]) for i in k
            ]
            expected.append(sum(math.log(rivals[i]) - scores[i] for i in k))
    assert first_loss(project, rankings="data/rankings.jsonl", ranking_loss=kind) == approx(
        mean(expected), abs=1e-5
    )


def test_it_learns_from_rankings_alone(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    write_rankings(project)
    settings = SETTINGS | {"comparisons": "", "rankings": "data/rankings.jsonl", "epochs": 6}
    made = train(project, reward, **settings)
    evidence = made.artifact.manifest.metrics
    assert evidence["train"] + evidence["held_out"] == 30
    assert (
        evidence["accuracy"]["value"] > 0.9
        and evidence["accuracy"]["n"] == evidence["bag_of_words"]["n"] > evidence["held_out"]
    )  # pairs, of rankings
    check_finished(project, reward, made, **settings)


@pytest.mark.parametrize("rank", [0, 4])
def test_micro_batches_of_all_kinds_equal_one(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    write_rankings(project)
    change(project, lambda i, row: {"rater": ("ann", "bob")[i % 2]} | ({"tie": "good"} if i % 3 == 0 else {}))
    options = {
        "rankings": "data/rankings.jsonl",
        "ties": "learn",
        "rater_effects": True,
        "length_penalty": 1.0,
        "centring": 0.01,
    }
    made = [
        train(
            project,
            reward,
            **ONE_BATCH | options | {"rank": rank, "name": f"m{n}", "micro_tokens": n, "epochs": 3},
        )
        for n in (1, 10**6)
    ]
    for one, other in zip(made[0].rows, made[1].rows, strict=True):
        assert one == approx(other, abs=2e-5)


# ---------------------------------------------------------------- raters


def test_an_adversary_is_found_and_turned_round(tmp_path: Path) -> None:
    """Three of four say the truth about every prompt, the last one the opposite."""
    project = project_with_base(tmp_path)
    names = ("ann", "bob", "cleo", "dan")
    every = []
    for row in rows_of(project):
        for name in names:
            swap = {"chosen": row["rejected"], "rejected": row["chosen"]} if name == "dan" else {}
            every.append(row | swap | {"rater": name})
    jsonl.write(project.data / "comparisons.jsonl", every)
    settings = SETTINGS | {"rater_effects": True, "epochs": 6}
    made = train(project, reward, **settings)
    raters = made.artifact.manifest.metrics["raters"]
    assert set(raters) == set(names)
    assert raters["dan"]["error_rate"] > 0.8 > 0.2 > max(raters[name]["error_rate"] for name in names[:3])
    assert sum(row["n"] for row in raters.values()) == made.artifact.manifest.metrics["train"]
    assert math.prod(row["sensitivity"] for row in raters.values()) == approx(1.0, abs=1e-4)
    check_finished(project, reward, made, **settings)


def test_only_who_signs_is_a_rater(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    write_rankings(project)
    rows = trained(change(project, lambda i, row: {"rater": ("ann", "bob")[i % 2]} if i % 3 else {}))
    made = train(project, reward, **SETTINGS | {"rankings": "data/rankings.jsonl", "rater_effects": True})
    raters = made.artifact.manifest.metrics["raters"]
    assert {name: row["n"] for name, row in raters.items()} == {
        name: sum(row.get("rater") == name for row in rows) for name in ("ann", "bob")
    }
    assert raters["ann"]["sensitivity"] * raters["bob"]["sensitivity"] == approx(1.0, abs=1e-4)


# ---------------------------------------------------------------- aspects

ASPECTS = {"aspects": ("true", "brief"), "aspect_weights": (4.0, 1.0), "epochs": 12}


def aspect_project(root: Path) -> Project:
    """The chosen answer is truer; every row with a brevity aspect says that the rejected one is briefer."""
    project = project_with_base(root)
    change(project, lambda i, row: {"aspects": {"true": 1.0} if i % 2 else {"true": 0.8, "brief": -1.0}})
    return project


def test_aspects_in_the_first_loss(tmp_path: Path) -> None:
    project = aspect_project(tmp_path)
    rows = trained(rows_of(project))
    model = new_reward_model(
        str(project.artifacts / "model" / "base"), run_seed=0, aspects=("true", "brief"), weights=(1.0, 1.0)
    )
    expected = []
    for row in rows:
        record: Any = parse_row("comparison", row, RowLocation("rows", 1))
        ids = [model.encode(record.prompt + side) for side in (record.chosen, record.rejected)]
        with torch.no_grad():
            heads = model.aspect_scores(collate(ids, pad_id=model.pad_id))
        gaps = (heads[0] - heads[1]).tolist()
        shares = {name: (1 + value) / 2 for name, value in row["aspects"].items()}
        losses = [
            -shares[name] * log_sigma(gap) - (1 - shares[name]) * log_sigma(-gap)
            for name, gap in zip(("true", "brief"), gaps, strict=True)
            if name in shares
        ]
        expected.append(mean(losses))
    assert first_loss(project, aspects=("true", "brief")) == approx(mean(expected), abs=1e-5)


@pytest.mark.parametrize("rank", [0, 4])
def test_heads_learn_their_own_aspect_and_the_total_weighs_them(tmp_path: Path, rank: int) -> None:
    project = aspect_project(tmp_path)
    settings = SETTINGS | ASPECTS | {"rank": rank, "lr": 1e-2 if rank else 3e-3}
    made = train(project, reward, **settings)
    evidence = made.artifact.manifest.metrics
    assert evidence["aspects"]["true"]["value"] == evidence["aspects"]["brief"]["value"] == 1.0
    assert evidence["accuracy"]["value"] == 1.0  # truth weighs more
    folder = str(made.artifact.folder)
    model = load_reward_model(folder)
    assert model.network.config.reward_aspects == [
        "true",
        "brief",
    ] and model.network.config.reward_weights == [4.0, 1.0]
    record: Any = parse_row("comparison", rows_of(project)[0], RowLocation("rows", 1))
    batch = collate(
        [model.encode(record.prompt + side) for side in (record.chosen, record.rejected)], pad_id=model.pad_id
    )
    with torch.no_grad():
        heads, totals = model.aspect_scores(batch), model.scores(batch)
        assert heads.shape == (2, 2) and heads[0, 0] > heads[1, 0] and heads[0, 1] < heads[1, 1]
        assert model.aspects is not None
        by_hand = [
            sum(w * (h - m) / s for h, w, m, s in zip(row.tolist(), *model.aspects[1:], strict=True))
            for row in heads
        ]
        assert totals.tolist() == approx(by_hand, abs=1e-4)
        rewards = [(total - model.scale.mean) / model.scale.std for total in by_hand]
        assert load_critic(folder).scores(batch).tolist() == approx(rewards, abs=1e-4)
        if rank:
            policy = load_policy(str(project.artifacts / "model" / "base"), lora=Lora(8, 16))
            assert shares_base(policy, folder)
            assert load_shared_reward_model(policy, folder, name="reward").scores(batch).tolist() == approx(
                by_hand, abs=1e-3
            )
    check_finished(project, reward, made, **settings)


def test_aspects_that_do_not_fit_the_labels_are_refused(tmp_path: Path) -> None:
    made = train(aspect_project(tmp_path), reward, **SETTINGS | ASPECTS | {"epochs": 1})
    model = load_reward_model(str(made.artifact.folder))
    for name, value in (
        ("reward_weights", [1.0]),
        ("reward_aspect_stds", [1.0, 0.0]),
        ("reward_aspect_means", ["x", 1]),
        ("reward_aspects", 7),
    ):
        config = model.network.config
        before = getattr(config, name)
        setattr(config, name, value)
        config.save_pretrained(made.artifact.folder)
        with pytest.raises(ModelError, match="reward_aspects, reward_weights"):
            load_reward_model(str(made.artifact.folder))
        setattr(config, name, before)


def test_a_weight_counts_whatever_stands_beside_it(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = trained(change(project, lambda i, row: {"weight": (1, 3)[i % 2]}))
    settings = SETTINGS | {
        "epochs": 1,
        "batch": 1,
        "lr": 1e-12,
    }  # each step is one row, and the model stays as it is
    made = train(project, reward, **settings)
    usual = mean([row["weight"] for row in rows])
    losses = [
        -log_sigma(a - b) * row["weight"] / usual
        for (a, b), row in zip(differences(project, rows), rows, strict=True)
    ]
    assert sorted(made.series("loss")) == approx(sorted(losses), abs=1e-5)
    change(project, lambda i, row: {"weight": (10, 30)[i % 2]})
    again = train(project, reward, **settings | {"name": "again"})
    assert again.series("loss") == approx(made.series("loss"), abs=1e-6)  # only their ratios count


# ---------------------------------------------------------------- ensembles


@pytest.mark.parametrize("rank", [0, 4])
def test_member_0_is_the_single_model_and_the_others_differ(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    single = train(project, reward, **settings | {"name": "single"})
    made = train(project, reward, **settings | {"members": 3})
    folder = made.artifact.folder
    members = member_folders(str(folder))
    assert members == [str(folder), str(folder / "member-1"), str(folder / "member-2")]
    assert member_folders(str(single.artifact.folder)) == [str(single.artifact.folder)]
    assert json.loads((folder / "config.json").read_text())["reward_members"] == 3
    weights = [(Path(member) / "model.safetensors").read_bytes() for member in members]
    assert weights[0] == (single.artifact.folder / "model.safetensors").read_bytes()
    assert len(set(weights)) == 3
    last = single.rows[-1]["step"]
    assert made.rows[-1]["step"] > 2 * last and [
        row["loss"] for row in made.rows[-int(last) :]
    ] == single.series("loss")
    asked = [{"role": "user", "content": "Say fox."}]
    for member in members:
        model = load_reward_model(member)
        assert score(model, asked + said("It is fox.")) > score(model, asked + said("What is it? Please!"))
        assert (Path(member) / "adapter").is_dir() == bool(rank)
        if rank:
            assert shares_base(
                load_policy(str(project.artifacts / "model" / "base"), lora=Lora(8, 16)), member
            )
    assert not (made.folder / "members").exists()
    check_finished(project, reward, made, **settings | {"members": 3})


def test_a_member_that_was_lost_is_not_replaced_by_another(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"members": 2, "epochs": 1}
    made = train(project, reward, **settings)
    shutil.rmtree(
        made.artifact.folder
    )  # the members' own folders are gone too; the last checkpoint is member 0's
    end = len(made.rows) - math.ceil(len(trained(rows_of(project))) / SETTINGS["batch"])
    with pytest.raises(
        ProjectError, match=rf"the model trained up to step {end} is missing.*Remove this folder"
    ):
        train(project, reward, **settings)
    shutil.rmtree(made.folder)
    assert train(project, reward, **settings).artifact.manifest.digest == made.artifact.manifest.digest


# ---------------------------------------------------------------- scale and length


def test_the_mean_reward_of_the_references_is_zero(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"centre_on": "data/demonstrations.jsonl"}
    made = train(project, reward, **settings)
    model = load_reward_model(str(made.artifact.folder))
    scores = [score(model, row["prompt"] + row["completion"]) for row in rows_of(project, "demonstrations")]
    assert model.scale.mean == approx(mean(scores), abs=1e-4)
    check_finished(project, reward, made, **settings)


def test_centring_keeps_scores_around_zero(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    pairs = differences(project, trained(rows_of(project)))
    expected = mean([-log_sigma(a - b) + 0.7 * (a + b) ** 2 for a, b in pairs])
    assert first_loss(project, name="first", centring=0.7) == approx(expected, abs=1e-4)
    free, held = (
        train(project, reward, **SETTINGS | {"name": f"c{weight}", "centring": weight})
        for weight in (0.0, 1.0)
    )
    means = [abs(load_reward_model(str(made.artifact.folder)).scale.mean) for made in (free, held)]
    assert means[1] < means[0] / 2, means


def leaking_project(root: Path) -> Project:
    """The right word decides what is chosen.

    In five of six pairs the right answer is also the longer one.
    """
    project = project_with_base(root)
    rows = []
    for i in range(240):
        word, other = WORDS[i % 10], WORDS[(i + 1 + i // 10 % 9) % 10]
        long, short = ("It is {}. " * 4, "It is {}.") if i % 6 else ("It is {}.", "It is {}. " * 4)
        asked = [{"role": "user", "content": f"Say {word}." + " Please." * (i // 90)}]
        rows.append(
            {
                "prompt": asked,
                "chosen": said(long.format(*[word] * 4).strip()),
                "rejected": said(short.format(*[other] * 4).strip()),
            }
        )
    jsonl.write(project.data / "comparisons.jsonl", rows)
    return project


def balanced_accuracy(made: Trained) -> float:
    """On pairs of equal length."""
    model = load_reward_model(str(made.artifact.folder))
    right = []
    for i, word in enumerate(WORDS * 3):
        asked = [{"role": "user", "content": f"Say {word}."}]
        other = WORDS[(i + 1 + i // 10 * 3) % 10]
        right.append(
            score(model, asked + said(f"It is {word}.")) > score(model, asked + said(f"It is {other}."))
        )
    return mean([float(one) for one in right])


def test_length_leaves_the_scores_and_what_decides_stays(tmp_path: Path) -> None:
    project = leaking_project(tmp_path)
    settings = SETTINGS | {"batch": 16, "epochs": 12, "lr": 5e-3}
    plain = train(project, reward, **settings | {"name": "plain", "length_penalty": 1e-9})
    fair = train(project, reward, **settings | {"name": "fair", "length_penalty": 2.0})
    correlations = [made.artifact.manifest.metrics["length_correlation"] for made in (plain, fair)]
    assert correlations[0] > 0.5 and abs(correlations[1]) < correlations[0] / 2
    assert balanced_accuracy(fair) >= balanced_accuracy(plain)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"comparisons": ""}, "comparisons = '': is empty, and so is rankings"),
        ({"flip_rate": 0.1, "rater_effects": True}, "flip_rate = 0.1: is learned by rater_effects"),
        ({"label_smoothing": 0.1, "ties": "learn"}, "label_smoothing = 0.1: does not apply to ties"),
        ({"rankings": "x", "flip_rate": 0.1}, "ranking_loss = 'plackett-luce': does not support label noise"),
        ({"rankings": "x", "aspects": ["a"]}, "aspects = .*rankings have none"),
        ({"aspects": ["a", "a"]}, "aspects = .*names an aspect twice"),
        (
            {"aspects": ["a"], "aspect_weights": [1.0, 2.0]},
            "aspect_weights = .*needs one number for each aspect",
        ),
        ({"flip_rate": 0.5}, "flip_rate = 0.5: is a share"),
        ({"members": 0}, "members = 0: must be positive"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configs.from_dict(reward.Config, SETTINGS | settings)


def test_only_people_who_are_named_are_raters(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    write_rankings(project)
    change(project, lambda i, row: {"rater": ("ann", "bob")[i % 2]} if i % 3 else {})
    made = train(
        project, reward, **SETTINGS | {"rankings": "data/rankings.jsonl", "rater_effects": True, "epochs": 1}
    )
    raters = made.artifact.manifest.metrics["raters"]
    assert set(raters) == {"ann", "bob"}
    assert raters["ann"]["sensitivity"] * raters["bob"]["sensitivity"] == approx(1.0, abs=1e-5)
    signed = sum("rater" in row for row in trained(rows_of(project)))
    assert raters["ann"]["n"] + raters["bob"]["n"] == signed < made.artifact.manifest.metrics["train"]


def test_rows_that_nobody_signed_tell_nothing_about_raters(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="comparisons.jsonl: no row names its rater"):
        train(project_with_base(tmp_path), reward, **SETTINGS | {"rater_effects": True})


def test_an_aspect_that_no_row_judges(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none judges kind"):
        train(project_with_base(tmp_path), reward, **SETTINGS | {"aspects": ("kind",)})
