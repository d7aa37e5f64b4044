"""NEFTune noise: its size, its seed, and that every backend adds it to the same tokens."""

from typing import Any

import pytest
import torch
from pytest import approx

from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.forward import attention
from fairlead.model.policy import Policy
from fairlead.train.neftune import embedding_noise
from fakes import chat_format, network

ROWS = [
    Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))
    for prompt, answer in (((5, 6, 7), (8, 9)), ((5, 6, 7), (10, 11, 12, 13)), ((20, 21), (22,)))
]


def test_its_size_falls_with_the_root_of_length_and_width() -> None:
    noise = embedding_noise([100, 25], 16, alpha=5.0, run_seed=0, step=3, rows=[0, 1])
    for row, length in ((0, 100), (1, 25)):
        bound = 5.0 / (length * 16) ** 0.5  # 0.125 and 0.25
        own = noise[row, :length]
        assert own.abs().max() <= bound
        assert float(own.std()) == approx(bound / 3**0.5, rel=0.1)  # of a uniform distribution
        assert abs(float(own.mean())) < 0.1 * bound
    assert not noise[1, 25:].any()


def test_a_row_has_the_same_noise_wherever_it_stands_and_other_noise_in_another_step() -> None:
    whole = embedding_noise([4, 7, 5], 8, alpha=1.0, run_seed=0, step=3, rows=[0, 1, 2])
    part = embedding_noise([5], 8, alpha=1.0, run_seed=0, step=3, rows=[2])
    assert torch.equal(whole[2, :5], part[0])
    settings: dict[str, Any] = {"alpha": 1.0, "run_seed": 0, "step": 3, "rows": [2]}
    for other in ({"step": 4}, {"run_seed": 1}, {"rows": [1]}):
        changed = embedding_noise([5], 8, **(settings | other))
        assert not torch.equal(changed, part)


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_every_way_adds_it_to_the_same_tokens(shape: str) -> None:
    made = network(shape)
    attention.install(made)
    policy = Policy(made, chat_format(), "nowhere")
    batch = collate(ROWS, pad_id=0)
    noise = embedding_noise(
        [len(row) for row in ROWS], policy.width, alpha=5.0, run_seed=0, step=0, rows=range(3)
    )
    expected, quiet = torch.zeros(batch.tokens.shape), torch.zeros(batch.tokens.shape)
    embed = made.get_input_embeddings()
    with torch.no_grad():
        for i, row in enumerate(ROWS):  # each by itself, through nothing but transformers
            tokens = torch.tensor([row.tokens])
            words = embed(tokens)
            for into, embedded in ((expected, words + noise[i, : len(row)]), (quiet, words)):
                logps = made(inputs_embeds=embedded).logits[0].log_softmax(-1)
                for t in range(1, len(row)):
                    if row.trained[t]:
                        into[i, t] = logps[t - 1, row.tokens[t]]
        assert (expected - quiet).abs().max() > 0.01
        for settings in (
            {"packed": True},
            {"packed": False},
            {"share_prompts": False},
            {"padded": True},
            {"chunked_logits": False},
        ):
            for name, value in settings.items():
                setattr(policy.backend, name, value)
            assert torch.allclose(policy.token_logps(batch, noise), expected, atol=1e-4), settings
            assert torch.allclose(policy.token_logps(batch), quiet, atol=1e-4), settings
