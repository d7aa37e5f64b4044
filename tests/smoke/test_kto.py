from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.data.record_reader import read_binary
from fairlead.encoding.chat import Encoded
from fairlead.encoding.record_rows import SingleOrPair, encode_response
from fairlead.examples.pairs import encode_and_split
from fairlead.examples.reference_logps import all_answer_logps
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import kto
from fairlead.store.run import Run
from fakes import Trained, check_finished, configuration, project_with_base, train

SETTINGS: dict[str, Any] = {
    "name": "aligned",
    "model": "base",
    "binary": "data/binary.jsonl",
    "epochs": 6,
    "batch": 8,
    "lr": 2e-3,
    "warmup": 2,
    "held_out": 0.2,
    "measure_every": 5,
    "checkpoints.every": 7,
}


@pytest.mark.parametrize("rank", [0, 4])
def test_it_begins_at_a_half_learns_and_leaves_a_whole_artifact(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"rank": rank}
    made = train(project, kto, **settings)
    losses = made.series("loss")
    assert losses[0] == pytest.approx(
        0.5, abs=1e-5
    )  # 1 - sigma(0): the reference is the model that it starts from
    assert losses[-1] < 0.4
    up, down = (
        [row[name] for row in made.rows if name in row][-1]
        for name in ("desirable_logratio", "undesirable_logratio")
    )
    assert up > made.series("reference_point")[-1] > down  # a step without bad answers says nothing of them
    evidence = made.artifact.manifest.metrics
    assert sum(made.series("accuracy")[-8:]) / 8 > 0.8
    assert evidence["accuracy"]["value"] > 0.5 and evidence["accuracy"]["n"] == evidence["held_out"]
    assert evidence["desirable"] + evidence["undesirable"] == evidence["train"]
    check_finished(project, kto, made, **settings)


def points(made: Trained) -> list[float]:
    return made.series("reference_point")


def test_the_reference_point_depends_neither_on_the_batch_nor_on_the_micro_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All runs look at the same policy, which a learning rate near zero keeps, beside the model that it was
    # trained from.
    project = project_with_base(tmp_path)
    moved = train(project, kto, **SETTINGS | {"rank": 0, "epochs": 2, "name": "moved", "lr": 5e-3})
    assert points(moved)[0] == pytest.approx(0, abs=1e-6) and points(moved)[-1] > 1e-3
    base = load_policy(str(project.artifacts / "model" / "base"))

    def of_the_base(
        run: Run, policy: Policy, rows: Sequence[SingleOrPair], micro_tokens: int, config: Any
    ) -> Tensor:
        return all_answer_logps(base, rows, micro_tokens)

    monkeypatch.setattr(kto, "reference_answer_logps", of_the_base)
    kept = SETTINGS | {"model": "moved", "rank": 0, "warmup": 0, "epochs": 1, "lr": 1e-12}
    few, many, small = (
        points(train(project, kto, **kept | {"name": f"kept-{number}"} | special))
        for number, special in enumerate(({"batch": 8}, {"batch": 16}, {"batch": 8, "micro_tokens": 100}))
    )
    assert len(few) == len(small) > len(many) > 1
    assert min(few) > 0.1 and len(set(few)) == len(few)  # or equality would say little
    assert many == pytest.approx(few[: len(many)], abs=1e-5)
    assert small == pytest.approx(few, abs=1e-4)


def test_the_reference_point_can_be_repeated_from_the_saved_models(tmp_path: Path) -> None:
    # One step, and two: the model that the first run saved is what the second one's second step looks at.
    project = project_with_base(tmp_path)
    settings = SETTINGS | {
        "rank": 0,
        "lr": 3e-3,
        "warmup": 0,
        "batch": 1000,
        "checkpoints.every": 1,
        "kl_rows": 20,
    }
    once = train(project, kto, **settings | {"name": "once", "epochs": 1})
    twice = train(project, kto, **settings | {"name": "twice", "epochs": 2})
    before, after = (
        load_policy(str(project.artifacts / "model" / "base")),
        load_policy(str(once.artifact.folder)),
    )
    config = configuration(kto, settings)
    records = read_binary(project.data / "binary.jsonl")
    rows = encode_and_split(before, records, encode_response, config, source="")
    pool = kto.mismatched(before, rows.train, config)
    second = [pool[(20 + k) % len(pool)] for k in range(20)]
    moved = [answer_logp(after, row) - answer_logp(before, row) for [row] in second]
    mean = sum(moved) / len(moved)
    assert mean > 0.5  # or zero would do
    assert points(twice) == pytest.approx([0.0, 0.1 * mean], abs=1e-4)
    prompts = {row.tokens[: row.trained.index(True)] for [row] in rows.train_rows}
    assert {row.tokens[: row.trained.index(True)] for [row] in pool} == prompts
    assert not any(
        record.label and row in pool for record, row in zip(rows.train, rows.train_rows, strict=True)
    )  # nobody's own answer


def answer_logp(policy: Policy, row: Encoded) -> float:
    """From the logits alone: log p of the answer, summed."""
    with torch.no_grad():
        logps = policy.network(torch.tensor([row.tokens])).logits[0].log_softmax(-1)
    return float(sum(logps[t - 1, row.tokens[t]].item() for t in range(1, len(row)) if row.trained[t]))


def test_without_mismatched_answers_the_point_is_zero(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, kto, **SETTINGS | {"rank": 4, "epochs": 2, "kl_rows": 0})
    assert set(points(made)) == {0.0}


def test_the_weights_scale_each_side(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    plain = train(project, kto, **SETTINGS | {"rank": 4, "epochs": 1, "batch": 100})
    weighed = train(
        project,
        kto,
        **SETTINGS
        | {
            "rank": 4,
            "epochs": 1,
            "batch": 100,
            "desirable_weight": 2.0,
            "undesirable_weight": 4.0,
            "name": "weighed",
        },
    )
    counts = plain.artifact.manifest.metrics
    expected = 0.5 * (2 * counts["desirable"] + 4 * counts["undesirable"]) / counts["train"]
    assert plain.series("loss")[0] == pytest.approx(0.5, abs=1e-5)
    assert weighed.series("loss")[0] == pytest.approx(expected, abs=1e-4)


def test_answers_to_one_prompt_have_no_mismatched_ones(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "binary.jsonl")]
    held_out = next(row for row in rows if row["prompt"] != rows[0]["prompt"])
    jsonl.write(
        project.data / "one.jsonl", [row | {"prompt": rows[0]["prompt"]} for row in rows] + [held_out]
    )
    for seed in range(8):  # until the second prompt is the one that is held out
        try:
            train(
                project,
                kto,
                **SETTINGS | {"binary": "data/one.jsonl", "name": f"one-{seed}", "seed": seed, "rank": 4},
            )
        except DataError as error:
            if "the reference point needs responses to two prompts or more. Set kl_rows=0" in str(error):
                return
    raise AssertionError("one prompt was enough for mismatched answers")
