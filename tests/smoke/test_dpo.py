import json
import math
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import dpo
from fakes import check_finished, project_with_base, train

SETTINGS = {
    "name": "aligned",
    "model": "base",
    "comparisons": "data/comparisons.jsonl",
    "epochs": 3,
    "batch": 8,
    "lr": 1e-3,
    "warmup": 2,
    "held_out": 0.2,
    "measure_every": 5,
    "checkpoints.every": 7,
}


def answer_logp(policy: Policy, asked: list[dict[str, str]], answer: list[dict[str, str]]) -> float:
    """From the text alone: log p of the answer and its end, summed."""
    start = len(
        policy.tokenizer(
            policy.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        )["input_ids"]
    )
    ids = policy.tokenizer(
        policy.tokenizer.apply_chat_template(asked + answer, tokenize=False), return_tensors="pt"
    )["input_ids"]
    logps = policy.network(ids).logits[0].log_softmax(-1)
    return float(sum(logps[t - 1, ids[0, t]].item() for t in range(start, ids.shape[1])))


@pytest.mark.parametrize("rank", [0, 4])
def test_it_begins_at_log_two_learns_and_leaves_a_whole_artifact(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    made = train(project, dpo, **settings)
    losses = made.series("loss")
    assert len(losses) == 15
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)  # the reference is the model that it starts from
    assert made.series("margin")[0] == pytest.approx(0, abs=1e-4)
    assert losses[-1] < 0.5
    evidence = made.artifact.manifest.metrics
    assert evidence["accuracy"]["value"] > 0.8 and evidence["accuracy"]["n"] == evidence["held_out"]
    check_finished(project, dpo, made, **settings)


@pytest.mark.parametrize("rank", [0, 4])
def test_its_last_measurement_can_be_repeated_from_the_saved_models(tmp_path: Path, rank: int) -> None:
    # the artifact's log-probabilities less the base's, against the accuracy and loss that the run wrote down
    project = project_with_base(tmp_path)
    made = train(project, dpo, **SETTINGS | {"rank": rank, "beta": 0.3})
    policy, reference = (
        load_policy(str(made.artifact.folder)),
        load_policy(str(project.artifacts / "model" / "base")),
    )
    margins = []
    for _, row in jsonl.read(project.data / "comparisons.jsonl"):
        before, after = (
            {side: answer_logp(one, row["prompt"], row[side]) for side in ("chosen", "rejected")}
            for one in (reference, policy)
        )
        margins.append((after["chosen"] - before["chosen"]) - (after["rejected"] - before["rejected"]))
    assert sum(margin > 0 for margin in margins) >= 36  # of 40: it prefers what people preferred
    losses = sorted(math.log1p(math.exp(-0.3 * margin)) for margin in margins)
    assert losses[0] <= made.artifact.manifest.metrics["held_out_loss"]["value"] <= losses[-1]


def test_an_adapter_on_an_adapter_names_both(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    train(project, dpo, **SETTINGS | {"rank": 4, "epochs": 1, "name": "first"})
    settings = SETTINGS | {"rank": 2, "epochs": 1, "name": "second", "model": "model/first"}
    second = train(project, dpo, **settings)
    assert second.series("loss")[0] == pytest.approx(
        math.log(2), abs=1e-5
    )  # its reference is the first, not the base
    named = json.loads((second.artifact.folder / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ]
    assert (second.artifact.folder / named).resolve() == (project.artifacts / "model" / "first").resolve()
    check_finished(project, dpo, second, **settings)


# ---------------------------------------------------------------- the other losses


STARTS = {
    # at the start the margin is 0:  log 2;  1;  (0 - 1 / (2 * 0.5))^2 = 1
    "robust": ({"flip_rate": 0.2}, math.log(2)),
    "hinge": ({"beta": 0.5}, 1.0),
    "ipo": ({"tau": 0.5}, 1.0),
    "simpo": ({}, None),
    "orpo": ({"odds_weight": 0.5}, None),
}


@pytest.mark.parametrize("loss", STARTS)
def test_every_loss_learns_and_leaves_a_whole_artifact(tmp_path: Path, loss: str) -> None:
    project = project_with_base(tmp_path)
    own, begins_at = STARTS[loss]
    settings = SETTINGS | {"rank": 4, "loss": loss, **own}
    made = train(project, dpo, **settings)
    losses = made.series("loss")
    if begins_at is not None:
        assert losses[0] == pytest.approx(begins_at, abs=1e-4)
    assert (
        losses[-1] < (0.95 if loss == "orpo" else 0.7) * losses[0]
    )  # random answers are seven nats a token, and that is most of orpo
    assert made.artifact.manifest.metrics["accuracy"]["value"] > 0.8
    check_finished(project, dpo, made, **settings)


@pytest.mark.parametrize("loss", ["simpo", "orpo"])
def test_a_loss_without_a_reference_computes_none(tmp_path: Path, loss: str) -> None:
    project = project_with_base(tmp_path)
    made = train(project, dpo, **SETTINGS | {"rank": 4, "epochs": 1, "loss": loss})
    assert not (project.cache / "reference").exists()
    assert "chosen_logratio" not in made.rows[0]
    with_one = train(project, dpo, **SETTINGS | {"rank": 4, "epochs": 1, "name": "with"})
    assert len(list((project.cache / "reference").iterdir())) == 1
    assert with_one.rows[0]["chosen_logratio"] == pytest.approx(0, abs=1e-4)


def test_the_likelihood_of_chosen_answers_keeps_them_up(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    plain = train(project, dpo, **SETTINGS | {"rank": 4})
    held = train(project, dpo, **SETTINGS | {"rank": 4, "nll_weight": 1.0, "name": "held"})
    assert held.series("chosen_logratio")[-1] > plain.series("chosen_logratio")[-1] + 1
    assert held.series("loss")[0] > math.log(2) + 1  # a random model finds its answers unlikely


def test_weights_of_rows_are_honoured_and_only_their_ratios_count(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "comparisons.jsonl")]
    contrary = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    light, heavy = (
        [row | {"weight": one} for row in rows] + [row | {"weight": other} for row in contrary]
        for one, other in ((0.0, 1.0), (30.0, 0.0))
    )
    for name, weighted in (
        ("light", light),
        ("heavy", heavy),
        ("plain", [row | {"weight": 7.0} for row in rows]),
    ):
        jsonl.write(project.data / f"{name}.jsonl", weighted)
    settings = SETTINGS | {"rank": 4}
    margins = {
        name: train(project, dpo, **settings | {"name": name, "comparisons": f"data/{name}.jsonl"}).series(
            "rejected_logratio"
        )[-1]
        for name in ("plain", "light", "heavy")
    }
    unweighted = train(project, dpo, **settings | {"name": "unweighted"})
    assert unweighted.series("rejected_logratio")[-1] == margins["plain"]  # bit for bit
    evidence = {name: load_policy(str(project.artifacts / "model" / name)) for name in ("light", "heavy")}
    asked, chosen, rejected = rows[0]["prompt"], rows[0]["chosen"], rows[0]["rejected"]
    base = load_policy(str(project.artifacts / "model" / "base"))

    def lead(policy: Policy) -> float:
        return answer_logp(policy, asked, chosen) - answer_logp(policy, asked, rejected)

    assert (
        lead(evidence["light"]) < lead(base) < lead(evidence["heavy"])
    )  # the contrary rows, and the rows as they were


def test_keys_of_another_loss_are_refused() -> None:
    required: dict[str, Any] = {"name": "x", "model": "base", "comparisons": "c.jsonl"}
    for loss, key in (
        ("ipo", "beta"),
        ("dpo", "gamma"),
        ("simpo", "flip_rate"),
        ("orpo", "nll_weight"),
        ("hinge", "odds_weight"),
    ):
        with pytest.raises(ValueError, match=f"{key} = 0.3.*is used by loss=.*, not by {loss}"):
            dpo.Config(**required | {"loss": loss, key: 0.3})
