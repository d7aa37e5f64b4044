"""A number about one row does not depend on the rows beside it, on padding, or on how a batch is cut."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairlead.encoding.batching import Batch, collate, map_micro_batches
from fairlead.encoding.chat import Encoded
from fairlead.model.adapters import Lora
from fairlead.model.reward_model import new_reward_model
from fakes import SHAPES, policy, save_model, turns

CONVERSATIONS = (
    turns("What is it?", "It is 4."),
    turns("Tell me a story about a fox and a lantern in the garden.", "A small fox found a lantern."),
    turns("One?", "Yes. " * 12),
    turns("Say it again, and again, and again.", "No."),
)
TOLERANCE = 1e-5  # on numbers of order 1 to 10


def padded(row: Encoded, width: int, pad_id: int) -> Batch:
    """One row in a batch wider than it needs."""
    filler = Encoded((pad_id,) * width, (False,) * width)
    return Batch(*(values[:1] for values in _parts(collate([row, filler], pad_id=pad_id))))


def _parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.tokens, batch.token_mask, batch.response_mask


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_log_probabilities(tmp_path: Path, shape: str) -> None:
    made = policy(tmp_path / "base", shape, lora=Lora(4, 8))
    rows = [made.encode(messages, num_context=1) for messages in CONVERSATIONS]
    batch = collate(rows, pad_id=made.pad_id)
    together = made.token_logps(batch)
    assert together.abs().max() > 3  # of what order the numbers are
    for i, row in enumerate(rows):
        alone = made.token_logps(collate([row], pad_id=made.pad_id))[0]
        assert (together[i, : len(row)] - alone).abs().max() < TOLERANCE
        assert together[i, len(row) :].eq(0).all()
        wide = made.token_logps(padded(row, 100, made.pad_id))[0]
        assert (wide[: len(row)] - alone).abs().max() < TOLERANCE
    for budget in (1, 60, 10_000):
        assert (map_micro_batches(made.token_logps, batch, budget) - together).abs().max() < TOLERANCE


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_scores_and_values(tmp_path: Path, shape: str) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base", shape)), run_seed=0)
    rows = [model.encode(messages) for messages in CONVERSATIONS]
    batch = collate(rows, pad_id=model.pad_id)
    scores, values = model.scores(batch), model.state_values(batch)
    assert scores.abs().max() > 0.3 and values.abs().max() > 0.3
    for i, row in enumerate(rows):
        alone = collate([row], pad_id=model.pad_id)
        assert abs(float(scores[i] - model.scores(alone)[0])) < TOLERANCE
        assert (values[i, : len(row)] - model.state_values(alone)[0]).abs().max() < TOLERANCE
        assert abs(float(scores[i] - model.scores(padded(row, 100, model.pad_id))[0])) < TOLERANCE
    for budget in (1, 60, 10_000):
        assert (map_micro_batches(model.scores, batch, budget) - scores).abs().max() < TOLERANCE
        assert (map_micro_batches(model.state_values, batch, budget) - values).abs().max() < TOLERANCE


@torch.no_grad()
def test_what_padding_consists_of_does_not_matter(tmp_path: Path) -> None:
    made = policy(tmp_path / "base")
    rows = [made.encode(messages, num_context=1) for messages in CONVERSATIONS]
    first, second = (made.token_logps(collate(rows, pad_id=pad_id)) for pad_id in (made.pad_id, 77))
    assert (first - second).abs().max() < TOLERANCE


@torch.no_grad()
def test_a_row_does_depend_on_its_own_prompt(tmp_path: Path) -> None:  # or the tests above could never fail
    made = policy(tmp_path / "base")
    one, two = (
        made.encode(turns(asked, "It is 4."), num_context=1) for asked in ("What is it?", "What is it!")
    )
    first, second = (made.token_logps(collate([row], pad_id=made.pad_id)) for row in (one, two))
    assert (first - second).abs().max() > 0.01
