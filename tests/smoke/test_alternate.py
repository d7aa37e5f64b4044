import math
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import ConfigError
from fairlead.encoding.chat import Encoded, num_trained_tokens
from fairlead.examples.pairs import answer_logps
from fairlead.recipes import alternate, dpo, sft
from fakes import check_finished, configuration, policy, project_with_base, train

DATA = {"demonstrations": "data/demonstrations.jsonl", "comparisons": "data/comparisons.jsonl"}
COMMON = {
    "name": "both",
    "model": "base",
    "batch": 8,
    "lr": 1e-3,
    "warmup": 2,
    "held_out": 0.2,
    "measure_every": 5,
    "checkpoints.every": 7,
}


@pytest.mark.parametrize("rank", [0, 4])
def test_both_losses_fall_and_a_whole_artifact_is_left(tmp_path: Path, rank: int) -> None:
    project = project_with_base(tmp_path)
    settings = COMMON | DATA | {"steps": 30, "rank": rank}
    made = train(project, alternate, **settings)
    kinds = ["sft" if "sft_loss" in row else "dpo" for row in made.rows]
    assert kinds == ["dpo", "sft"] * 15
    assert all(("dpo_loss" in row) != ("sft_loss" in row) for row in made.rows)
    compared, shown = ([row[name] for row in made.rows if name in row] for name in ("dpo_loss", "sft_loss"))
    assert compared[0] == pytest.approx(math.log(2), abs=1e-5)
    assert compared[-1] < 0.5 and shown[-1] < 0.95 * shown[0]
    evidence = made.artifact.manifest.metrics
    assert evidence["accuracy"]["value"] > 0.8
    assert evidence["held_out_sft_loss"]["n"] == evidence["held_out_demonstrations"]
    check_finished(project, alternate, made, **settings)


def test_the_share_spreads_the_steps_evenly(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, alternate, **COMMON | DATA | {"steps": 12, "sft_share": 0.25, "rank": 4})
    assert [i + 1 for i, row in enumerate(made.rows) if "sft_loss" in row] == [4, 8, 12]


def test_no_step_is_lost_to_rounding_and_no_kind_goes_without_one() -> None:
    for steps, share, expected in (
        (100, 0.29, 29),
        (50, 0.02, 1),
        (10, 0.7, 7),
        (1000, 0.57, 570),
        (3, 0.5, 1),
        (2, 0.999, 1),
    ):
        turns = alternate.sft_turns(steps, share)
        assert (len(turns), sum(turns), turns[0]) == (steps, expected, False)
    data: dict[str, Any] = COMMON | DATA
    configuration(alternate, data | {"steps": 100, "sft_share": 0.01})
    for steps, share in ((50, 0.01), (1, 0.5), (99, 0.01)):
        with pytest.raises(
            ConfigError,
            match=f"sft_share = {share}: leaves one of the two kinds without a step in steps = {steps}",
        ):
            configuration(alternate, data | {"steps": steps, "sft_share": share})


def test_the_first_step_of_each_kind_is_that_of_its_recipe(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    alone = COMMON | {"rank": 4, "epochs": 1}
    compared = train(project, dpo, **alone | {"name": "dpo", "comparisons": DATA["comparisons"]})
    shown = train(project, sft, **alone | {"name": "sft", "demonstrations": DATA["demonstrations"]})
    first_dpo = train(project, alternate, **COMMON | DATA | {"name": "one", "steps": 2, "rank": 4})
    first_sft = train(
        project, alternate, **COMMON | DATA | {"name": "two", "steps": 2, "sft_share": 0.999, "rank": 4}
    )
    assert "dpo_loss" in first_dpo.rows[0] and "sft_loss" in first_sft.rows[1]
    assert first_dpo.rows[0]["dpo_loss"] == pytest.approx(compared.rows[0]["loss"], abs=1e-6)
    assert first_dpo.rows[0]["grad_norm"] == pytest.approx(compared.rows[0]["grad_norm"], rel=1e-5)
    assert shown.rows[0]["loss"] == pytest.approx(
        first_sft.rows[1]["sft_loss"], rel=0.2
    )  # after one step on comparisons


def test_a_first_token_carries_no_loss_and_is_not_counted(tmp_path: Path) -> None:
    model = policy(tmp_path)
    rows = [Encoded((5, 6, 7, 8), (first, True, True, False)) for first in (True, False)]
    assert [num_trained_tokens([row]) for row in rows] == [2, 2]
    logps = [answer_logps(model, [(row,)]).item() for row in rows]
    assert logps[0] == pytest.approx(logps[1], abs=1e-6)
