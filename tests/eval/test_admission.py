"""Reward models in folders, sound and broken."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest import approx
from safetensors.torch import load_file, save_file

from fairlead.core.errors import DataError, ModelError
from fairlead.data.pair_metadata import MetadataTable
from fairlead.data.records import Comparison
from fairlead.eval import admission, reward_scoring
from fairlead.eval.reward_metrics import EvaluationPairs
from fairlead.eval.reward_scoring import PairScores, PreSaveState
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fakes import CONTEXT, assistant, save_model, user


def rows(count: int, *, longest: int = 6) -> list[Comparison]:
    return [
        Comparison(
            (user(f"Say {i}."),),
            (assistant(" ".join(["It is so."] * (1 + i % longest))),),
            (assistant(" ".join(["No."] * (1 + i % 4))),),
        )
        for i in range(count)
    ]


def pairs(held_out: list[Comparison]) -> EvaluationPairs:
    return EvaluationPairs(held_out, None, MetadataTable({}), 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model as it is saved, with a random head."""
    root = tmp_path_factory.mktemp("reward")
    model = new_reward_model(str(save_model(root / "base")), run_seed=0)
    model.set_scale(mean=0.0, std=1.0)
    (root / "reward").mkdir()
    model.save(root / "reward")
    return root / "reward"


def copy_of(folder: Path, to: Path, **weights: Any) -> Path:
    """The same folder with some weights replaced; None takes one out."""
    to.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            (to / file.name).write_bytes(file.read_bytes())
    found = load_file(to / "model.safetensors")
    for name, value in weights.items():
        key = f"{name}.weight"
        if value is None:
            del found[key]
        else:
            found[key] = value.to(found[key].dtype).expand_as(found[key]).contiguous()
    save_file(found, to / "model.safetensors", metadata={"format": "pt"})
    return to


def examined(folder: Path, held_out: list[Comparison], **options: Any) -> dict[str, Any]:
    report = admission.examine(str(folder), pairs(held_out), micro_tokens=512, source="rows.jsonl", **options)
    json.dumps(report, allow_nan=False)
    return report


def test_a_sound_model_scores_a_row_alone_as_in_a_batch(folder: Path) -> None:
    report = examined(folder, rows(30))
    assert report["pairs"] == report["prompts"] == 30
    assert report["batches"]["gap"] < 1e-4 and report["batches"]["n"] >= 8
    assert report["head"] is None and report["ensemble"] is None
    assert any("head" in what for what in report["not_measured"])


def test_one_pair_is_examined_and_refused(folder: Path) -> None:
    report = examined(folder, rows(1))
    assert report["verdict"] == "refuse" and report["prompts"] == 1


def test_pairs_of_one_prompt_only_prove_nothing(folder: Path) -> None:
    one = rows(1)[0]
    same = [Comparison(one.prompt, (assistant(f"It is {i}."),), one.rejected) for i in range(40)]
    report = examined(folder, same)
    assert (report["accuracy"]["low"], report["accuracy"]["high"]) == (0.0, 1.0)
    assert report["verdict"] == "refuse"


def test_a_model_whose_scores_are_not_numbers_is_refused(folder: Path, tmp_path: Path) -> None:
    # NaN weights are refused at loading; these are finite, and the scores overflow.
    report = examined(copy_of(folder, tmp_path / "huge", score=torch.tensor(3e38)), rows(6))
    assert report["verdict"] == "refuse" and report["not_finite"] == 12
    assert "are not finite" in report["reasons"][0]


def test_a_head_of_zeros_is_refused(folder: Path, tmp_path: Path) -> None:
    report = examined(copy_of(folder, tmp_path / "zero", score=torch.tensor(0.0)), rows(30))
    assert report["verdict"] == "refuse" and report["accuracy"]["value"] == 0.5


def test_a_head_that_is_missing_is_no_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its weights have no head 'score'"):
        examined(copy_of(folder, tmp_path / "headless", score=None), rows(6))


def test_a_head_that_was_not_saved_is_noticed(folder: Path) -> None:
    held_out = rows(20)
    model = load_reward_model(str(folder))
    encoded = [
        one
        for one in reward_scoring.encode_pairs(model, held_out, max_tokens=None, source="x")
        if one is not None
    ]
    true = reward_scoring.score_pairs(model, encoded, 512)
    other_head = torch.randn(1, 32, generator=torch.Generator().manual_seed(5)) / 6
    fine = examined(folder, held_out, trained=PreSaveState(true, other_head))
    assert fine["head"]["gap"] < 1e-3 and fine["head"]["moved"] > 0.5
    lost = examined(
        folder,
        held_out,
        trained=PreSaveState(PairScores([-x for x in true.chosen], [-x for x in true.rejected]), other_head),
    )
    assert any("not the trained model" in reason for reason in lost["reasons"])
    fresh = examined(folder, held_out, trained=PreSaveState(true, model.head.weight))
    assert any("learned nothing" in reason for reason in fresh["reasons"])


def test_texts_that_are_too_long_are_an_error_or_left_out(folder: Path) -> None:
    held_out = rows(10)
    endless = Comparison(held_out[3].prompt, (assistant("word " * 200_000),), held_out[3].rejected)
    mixed = [*held_out[:3], endless, *held_out[4:]]
    with pytest.raises(
        DataError,
        match=rf"rows.jsonl: 1 pair is longer .* {CONTEXT} tokens; the first is number 4 .*--drop",
    ):
        examined(folder, mixed)
    report = examined(folder, mixed, reading=admission.Reading(drop=True))
    assert (report["pairs"], report["dropped"]) == (9, 1)
    with pytest.raises(DataError, match="all 1 pair is longer"):
        examined(folder, [endless], reading=admission.Reading(drop=True))


def test_the_members_of_an_ensemble_are_compared(folder: Path, tmp_path: Path) -> None:
    whole = copy_of(folder, tmp_path / "ensemble")
    opposite = -load_file(folder / "model.safetensors")["score.weight"]
    copy_of(folder, whole / "member-1", score=opposite)
    report = examined(whole, rows(30))
    assert report["ensemble"]["members"] == 2
    assert report["ensemble"]["disagree"]["value"] > 0.9
    one, two = (each["value"] for each in report["ensemble"]["accuracies"])
    assert one == approx(1 - two, abs=0.05)
    assert report["accuracy"]["value"] == approx(0.5, abs=0.15)  # the two cancel out
