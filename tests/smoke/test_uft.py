import math
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import jsonl
from fairlead.core.errors import DataError
from fairlead.recipes import dpo, uft
from fakes import check_finished, project_with_base, train

FILES = {
    "demonstrations": "data/demonstrations.jsonl",
    "comparisons": "data/comparisons.jsonl",
    "binary": "data/binary.jsonl",
    "ratings": "data/ratings.jsonl",
}
SETTINGS = {
    "name": "aligned",
    "model": "base",
    "beta": 0.1,
    "epochs": 2,
    "batch": 16,
    "lr": 1e-3,
    "warmup": 2,
    "held_out": 0.2,
    "measure_every": 5,
    "checkpoints.every": 7,
}


@pytest.mark.parametrize("rank", [0, 4])
def test_all_four_kinds_in_one_stage(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | FILES | {"rank": rank}
    made = train(project, uft, **settings)
    first = made.rows[0]
    # policy and reference are equal, so sigma is a half: (1/2 - 1)^2; log 2; (1/2 - 0 or 1)^2; between (0.5 -
    # 0.9)^2 and (0.5 - 0.3)^2
    assert first["demonstration_loss"] == pytest.approx(0.25, abs=1e-5)
    assert first["comparison_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["binary_loss"] == pytest.approx(0.25, abs=1e-5)
    assert 0.04 - 1e-6 <= first["rating_loss"] <= 0.16 + 1e-6
    assert made.series("loss")[-1] < 0.7 * made.series("loss")[0]
    assert made.series("demonstration_logratio")[-1] > 1
    evidence = made.artifact.manifest.metrics
    assert evidence["accuracy"]["value"] > 0.8
    numbers = [evidence[name] for name in ("demonstrations", "comparisons", "binary", "ratings")]
    assert all(number > 20 for number in numbers) and evidence["held_out"] == 5 * 40 - sum(numbers)
    check_finished(project, uft, made, **settings)


@pytest.mark.parametrize("kind", FILES)
def test_one_file_is_enough(tmp_path: Path, kind: str) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {kind: FILES[kind], "rank": 4}
    made = train(project, uft, **settings)
    assert made.series("loss")[-1] < made.series("loss")[0]
    assert ("accuracy" in made.artifact.manifest.metrics) == (kind == "comparisons")
    check_finished(project, uft, made, **settings)


def test_comparisons_alone_are_dpo(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    common = SETTINGS | {"comparisons": FILES["comparisons"], "rank": 4}
    one, other = (
        train(project, uft, **common | {"name": "one"}),
        train(project, dpo, **common | {"name": "other"}),
    )
    for name in ("loss", "accuracy", "chosen_logratio", "rejected_logratio"):
        assert one.series(name) == pytest.approx(other.series(name), abs=2e-3), (
            name
        )  # log-ratios of order 10, after ten steps


def test_pairs_as_scores_begin_at_twice_a_quarter(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"comparisons": FILES["comparisons"], "rank": 4, "epochs": 1}
    squared = train(project, uft, **settings | {"pairs": "scores", "name": "squared"})
    entropy = train(
        project, uft, **settings | {"pairs": "scores", "loss": "cross-entropy", "name": "entropy"}
    )
    assert squared.series("loss")[0] == pytest.approx(2 * 0.25, abs=1e-5)
    assert entropy.series("loss")[0] == pytest.approx(2 * math.log(2), abs=1e-5)


def test_weights_scale_the_loss_of_their_kind(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = (
        SETTINGS
        | {key: FILES[key] for key in ("demonstrations", "comparisons")}
        | {"rank": 4, "epochs": 1, "batch": 1000}
    )
    made = train(project, uft, **settings | {"demonstration_weight": 3.0, "comparison_weight": 0.5})
    counts = made.artifact.manifest.metrics
    shown, compared = counts["demonstrations"], counts["comparisons"]
    assert made.series("loss")[0] == pytest.approx(
        (shown * 3 * 0.25 + compared * 0.5 * math.log(2)) / (shown + compared), abs=1e-5
    )


def test_centred_scores_leave_only_differences(tmp_path: Path) -> None:
    # scores of 0.9 and 0.3 for each prompt: as they are, (0.4^2 + 0.2^2) / 2 = 0.1; centred, 0.8 and 0.2,
    # 0.3^2 = 0.09
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"ratings": FILES["ratings"], "rank": 4, "epochs": 1, "batch": 1000}
    plain = train(project, uft, **settings | {"name": "plain"})
    centred = train(project, uft, **settings | {"name": "centred", "centre_scores": True})
    assert plain.series("loss")[0] == pytest.approx(0.1, abs=1e-5)
    assert centred.series("loss")[0] == pytest.approx(0.09, abs=1e-5)


def test_length_normalised_log_ratios_are_per_token(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = SETTINGS | {"demonstrations": FILES["demonstrations"], "rank": 4, "warmup": 0}
    whole = train(project, uft, **settings | {"name": "whole"})
    by_token = train(project, uft, **settings | {"name": "by-token", "length_normalised": True, "beta": 2.0})
    assert by_token.series("loss")[-1] < 0.2
    assert (
        0.01
        < by_token.series("demonstration_logratio")[-1]
        < 0.5 * whole.series("demonstration_logratio")[-1]
    )


def test_a_rating_without_a_score_is_named(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows: list[dict[str, Any]] = [row for _, row in jsonl.read(project.data / "ratings.jsonl")]
    rows[2] = {"prompt": rows[2]["prompt"], "completion": rows[2]["completion"], "aspects": {"helpful": 0.5}}
    jsonl.write(project.data / "ratings.jsonl", rows)
    with pytest.raises(DataError, match=r"data/ratings.jsonl: record 3: has aspects but no score"):
        train(project, uft, **SETTINGS | {"ratings": FILES["ratings"], "rank": 4})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "is empty, and so are comparisons, binary and ratings"),
        ({"binary": "b.jsonl", "rating_weight": 2.0}, "rating_weight = 2.0: has nothing to weigh"),
        ({"binary": "b.jsonl", "binary_weight": 0.0}, "leave the file out"),
        ({"binary": "b.jsonl", "pairs": "scores"}, "is about comparisons, which are not given"),
        ({"binary": "b.jsonl", "centre_scores": True}, "is about ratings, which are not given"),
    ],
)
def test_knobs_that_would_do_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        uft.Config(name="x", model="base", **settings)
