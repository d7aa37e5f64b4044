"""Scores of pairs, the gap between batches, the trained head, and ensembles."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytest import approx

from fairlead.data.records import Comparison
from fairlead.eval import reward_scoring
from fairlead.eval.reward_scoring import PairScores
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fakes import assistant, save_model, user


def rows(count: int, *, longest: int = 6) -> list[Comparison]:
    return [
        Comparison(
            (user(f"Say {i}."),),
            (assistant(" ".join(["It is so."] * (1 + i % longest))),),
            (assistant(" ".join(["No."] * (1 + i % 4))),),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model as it is saved, with a random head."""
    root = tmp_path_factory.mktemp("reward")
    model = new_reward_model(str(save_model(root / "base")), run_seed=0)
    model.set_scale(mean=0.0, std=1.0)
    (root / "reward").mkdir()
    model.save(root / "reward")
    return root / "reward"


def test_scores_are_those_of_the_plain_network(folder: Path) -> None:
    model = load_reward_model(str(folder))
    held_out = rows(5)
    encoded = [
        pair
        for pair in reward_scoring.encode_pairs(model, held_out, max_tokens=None, source="x")
        if pair is not None
    ]
    scores = reward_scoring.score_pairs(model, encoded, 64)
    for i, pair in enumerate(encoded):
        for row, score in zip(pair, (scores.chosen[i], scores.rejected[i]), strict=True):
            assert score == approx(model.network(torch.tensor([row.tokens])).logits.item(), abs=1e-4)


class LooksAtNeighbours(ScalarModel):
    """Its score of a row depends on the rows beside it, as with a wrong attention mask."""

    def scores(self, batch: Any) -> torch.Tensor:
        own = super().scores(batch)
        return own + 0.5 * own.mean()


def test_scores_that_depend_on_the_batch_have_a_gap(folder: Path) -> None:
    sound = load_reward_model(str(folder))
    model = LooksAtNeighbours(sound.network, sound.chat)
    encoded = [
        pair
        for pair in reward_scoring.encode_pairs(model, rows(8), max_tokens=None, source="x")
        if pair is not None
    ]
    gap, _ = reward_scoring.batch_gap(model, encoded, 512)
    assert gap > 0.05
    assert reward_scoring.batch_gap(sound, encoded, 512)[0] < 1e-4


def test_a_mean_of_equal_members_is_the_member() -> None:
    member = PairScores([1.0, 2.0, 4.0], [0.0, 1.0, -2.0])
    scaled = PairScores([3 * x + 7 for x in member.chosen], [3 * x + 7 for x in member.rejected])
    pooled = reward_scoring.ensemble_scores([member, scaled])
    assert pooled.chosen == approx(member.chosen, abs=1e-12)
    assert pooled.rejected == approx(member.rejected, abs=1e-12)
    assert reward_scoring.ensemble_scores([member]) is member
