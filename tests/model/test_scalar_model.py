"""The head on the last hidden states: per conversation, per token and per step."""

from pathlib import Path

import pytest
import torch
from pytest import approx

from fairlead.encoding.batching import Batch, collate
from fairlead.model.load import load_causal_lm
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.model.scalar_model import HEAD
from fakes import SHAPES, save_model, turns
from model.test_reward_model import CONVERSATIONS, batch_of, save_process_reward_model

IN_STEPS = (
    turns("What is it?", "It is 4.\nThe sky is blue.\nYes."),
    turns("What is it?", "It is green."),
    turns("One?", "\n"),
)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_score_is_the_head_on_the_last_real_token(tmp_path: Path, shape: str) -> None:
    folder = str(save_model(tmp_path / "base", shape))
    model = new_reward_model(folder, run_seed=0)
    decoder = load_causal_lm(folder).base_model
    weight = model.trainable()[f"{HEAD}.weight"]
    for messages, score in zip(CONVERSATIONS, model.scores(batch_of(model)).tolist(), strict=True):
        tokens = torch.tensor([model.encode(messages).tokens])
        hidden = decoder(input_ids=tokens).last_hidden_state[0, -1]
        assert score == approx((hidden @ weight[0]).item(), abs=1e-5)  # of order 1


def test_a_value_is_the_head_on_the_tokens_before(tmp_path: Path) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    batch = batch_of(model)
    values = model.state_values(batch)
    for i, length in enumerate(batch.lengths.tolist()):
        for t in batch.response_mask[i, :length].nonzero().flatten().tolist():
            shorter = Batch(
                *(part[i : i + 1, :t] for part in (batch.tokens, batch.token_mask, batch.response_mask))
            )
            assert values[i, t].item() == approx(
                model.scores(shorter).item(), abs=1e-5
            )  # the head where only t tokens were read
    assert values[~batch.response_mask].eq(0).all()


def test_a_zero_head_returns_zero_and_has_a_gradient(tmp_path: Path) -> None:
    critic = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    critic.zero_head()
    values = critic.state_values(batch_of(critic))
    assert values.eq(0).all()
    values.sum().backward()
    gradient = critic.trainable()[f"{HEAD}.weight"].grad
    assert gradient is not None and gradient.abs().max() > 0.1


def test_the_last_turn_is_scored(tmp_path: Path) -> None:
    model = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    encoded = model.encode(turns("One?", "Yes.", "Two?", "No."))
    trained = [token for token, is_trained in zip(encoded.tokens, encoded.trained, strict=True) if is_trained]
    assert model.tokenizer.decode(trained) == "No.<|end|>"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_score_does_not_depend_on_later_steps(tmp_path: Path, shape: str) -> None:
    model = load_reward_model(str(save_process_reward_model(tmp_path, shape)))
    assert model.steps == StepSettings("\n", "product")
    rows = [model.encode(messages) for messages in IN_STEPS]
    batch = collate(rows, pad_id=model.pad_id)
    with torch.no_grad():
        step_scores = model.step_scores(batch)
        pooled = model.scores(batch)
        for i, row in enumerate(rows):
            ends = [t for t, end in enumerate(row.trained) if end]
            expected = [
                model.network(torch.tensor([row.tokens[: t + 1]])).logits.item() for t in ends
            ]  # nothing of what follows
            assert step_scores[i, ends].tolist() == approx(expected, abs=1e-4)  # of order 1
            assert pooled[i].item() == approx(
                torch.tensor(expected).sigmoid().prod().item() if ends else 0.0, abs=1e-4
            )
    assert (step_scores != 0).sum(dim=1).tolist() == [3, 1, 0]
