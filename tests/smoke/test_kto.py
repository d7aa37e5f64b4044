import math
from pathlib import Path

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.recipes import kto
from fakes import Trained, check_finished, project_with_base, train

SETTINGS = {
    "name": "aligned", "model": "base", "binary": "data/binary.jsonl",
    "epochs": 6, "batch": 8, "lr": 2e-3, "warmup": 2, "held_out": 0.2, "measure_every": 5, "checkpoint_every": 7,
}  # fmt: skip


@pytest.mark.parametrize("rank", [0, 4])
def test_it_begins_at_a_half_learns_and_leaves_a_whole_artifact(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"lora_rank": rank}
    made = train(project, kto, **settings)
    losses = made.series("loss")
    assert losses[0] == pytest.approx(0.5, abs=1e-5)  # 1 - sigma(0): the reference is the model that it starts from
    assert losses[-1] < 0.4
    assert made.series("desirable_logratio")[-1] > made.series("reference_point")[-1] > made.series("undesirable_logratio")[-1]
    evidence = made.artifact.manifest.metrics
    assert evidence["accuracy"]["value"] > 0.7 and evidence["accuracy"]["n"] == evidence["held_out"]
    assert evidence["desirable"] + evidence["undesirable"] == evidence["train"]
    check_finished(project, kto, made, **settings)


def points(made: Trained) -> list[float]:
    return made.series("reference_point")


def test_the_reference_point_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    # A learning rate near zero: all runs look at the same policy, so that only the estimate itself could differ.
    project = project_with_base(tmp_path)
    first = train(project, kto, **SETTINGS | {"lora_rank": 4, "epochs": 2, "name": "first", "lr": 5e-3})
    frozen = SETTINGS | {"model": "model/base", "lora_rank": 4, "warmup": 0, "epochs": 1}
    few = train(project, kto, **frozen | {"name": "few", "batch": 8, "lr": 1e-12})
    many = train(project, kto, **frozen | {"name": "many", "batch": 16, "lr": 1e-12, "micro_tokens": 100})
    assert points(first)[-1] > 0 == points(first)[0]
    shared = min(len(points(few)), len(points(many)))
    assert points(few)[:shared] == pytest.approx(points(many)[:shared], abs=1e-5)


def test_the_reference_point_is_the_running_mean_that_it_claims_to_be(tmp_path: Path) -> None:
    # the first step has seen equal policies; the second a tenth of the mean over the mismatched answers, if that is above zero
    project = project_with_base(tmp_path)
    made = train(project, kto, **SETTINGS | {"lora_rank": 4, "lr": 5e-3, "warmup": 0})
    assert points(made)[0] == pytest.approx(0, abs=1e-6)
    steps = [abs(b - a) for a, b in zip(points(made), points(made)[1:], strict=False)]
    assert max(steps) > 0.01 and all(math.isfinite(point) and point >= 0 for point in points(made))


def test_without_mismatched_answers_the_point_is_zero(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, kto, **SETTINGS | {"lora_rank": 4, "epochs": 2, "kl_rows": 0})
    assert set(points(made)) == {0.0}


def test_the_weights_scale_each_side(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    plain = train(project, kto, **SETTINGS | {"lora_rank": 4, "epochs": 1, "batch": 100})
    weighed = train(
        project,
        kto,
        **SETTINGS | {"lora_rank": 4, "epochs": 1, "batch": 100, "desirable_weight": 2.0, "undesirable_weight": 4.0, "name": "weighed"},
    )
    counts = plain.artifact.manifest.metrics
    expected = 0.5 * (2 * counts["desirable"] + 4 * counts["undesirable"]) / counts["train"]
    assert plain.series("loss")[0] == pytest.approx(0.5, abs=1e-5)
    assert weighed.series("loss")[0] == pytest.approx(expected, abs=1e-4)


def test_answers_to_one_prompt_have_no_mismatched_ones(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "binary.jsonl")]
    held_out = next(row for row in rows if row["prompt"] != rows[0]["prompt"])
    jsonl.write(project.data / "one.jsonl", [row | {"prompt": rows[0]["prompt"]} for row in rows] + [held_out])
    for seed in range(8):  # until the second prompt is the one that is held out
        try:
            train(project, kto, **SETTINGS | {"binary": "data/one.jsonl", "name": f"one-{seed}", "seed": seed, "lora_rank": 4})
        except DataError as error:
            if "the reference point needs answers to two prompts or more. Set kl_rows=0" in str(error):
                return
    raise AssertionError("one prompt was enough for mismatched answers")
