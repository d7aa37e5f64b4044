from pathlib import Path

import pytest
import torch

from fairlead.core.errors import ModelError
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy, load_policy
from fairlead.rollout.merge_adapter import MAX_NEW_TOKENS, PROMPTS, TOLERANCE, merge_adapter
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.rollout.sampler import sample
from fakes import save_model, shake, turns

BATCH = collate([Encoded(tuple(range(5, 15)), (False,) * 3 + (True,) * 7)], pad_id=0)


def adapter(folder: Path, lora: Lora) -> Path:
    policy = load_policy(str(save_model(folder / "base", hidden=64)), lora=lora)
    shake(policy.trainable())
    policy.save(folder / "adapter")
    return folder / "adapter"


def test_merging_into_a_full_base_changes_nothing(tmp_path: Path) -> None:
    folder = adapter(tmp_path, Lora(4, 8))
    merged, gap = merge_adapter(folder, PROMPTS)
    assert 0 <= abs(gap.kl) < 1e-6 and 0 < gap.logp < 1e-4
    assert len(PROMPTS) < gap.num_tokens <= len(PROMPTS) * MAX_NEW_TOKENS
    with torch.no_grad():
        assert torch.equal(merged.token_logps(BATCH), load_policy(str(folder)).token_logps(BATCH))


def test_a_merge_that_would_change_the_model_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    folder = adapter(tmp_path, Lora(4, 8, base_bits=4))
    with pytest.raises(
        ModelError,
        match=r"adapter: merging would change .* by [0-9.]+ nats .* at most 0.02 .* add --keep-rounding",
    ):
        merge_adapter(folder, PROMPTS)
    merged, gap = merge_adapter(folder, PROMPTS, keep_rounding=True)
    assert abs(gap.kl) < 1e-6
    with torch.no_grad():
        assert torch.equal(merged.token_logps(BATCH), load_policy(str(folder)).token_logps(BATCH))


def test_a_merge_is_accepted_when_the_rounding_has_little_effect(tmp_path: Path) -> None:
    base = load_policy(str(save_model(tmp_path / "base", hidden=64)))
    with torch.no_grad():
        for name, parameter in base.network.named_parameters():
            if "_proj" in name:
                parameter.mul_(0.2)  # the output depends on embeddings and head, which are not quantised
    base.save(tmp_path / "faint")
    policy = load_policy(str(tmp_path / "faint"), lora=Lora(4, 8, base_bits=4))
    policy.save(tmp_path / "adapter")
    _, gap = merge_adapter(tmp_path / "adapter", PROMPTS)
    assert 1e-6 < gap.kl < TOLERANCE


def test_the_gap_by_hand(tmp_path: Path) -> None:
    """KL and the change of log-probabilities, one token at a time, from the logits of the two networks."""
    folder = adapter(tmp_path, Lora(4, 8, base_bits=4))
    trained = load_policy(str(folder))
    (folder / "quantised_base.json").rename(tmp_path / "record")
    full = load_policy(str(folder))
    (tmp_path / "record").rename(folder / "quantised_base.json")
    with pytest.raises(ModelError) as refusal:
        merge_adapter(folder, [turns("Hello!")])
    text = str(refusal.value)
    reported_kl, reported_change, count = (
        float(text.split(before)[1].split(after)[0]) for before, after in REPORTED
    )
    # the sampler gives the same response again, because seed and row are the same
    rollout = sampled(trained)
    kl, logp = 0.0, 0.0
    for t in range(len(rollout.prompt_tokens), len(rollout.prompt_tokens) + len(rollout.tokens)):
        tokens = torch.tensor([[*rollout.prompt_tokens, *rollout.tokens][:t]])
        p, q = (
            policy.network(tokens).logits[0, -1].detach().double().softmax(dim=-1)
            for policy in (trained, full)
        )
        kl += float((p * (p / q).log()).sum())
        token = rollout.tokens[t - len(rollout.prompt_tokens)]
        logp += abs(float((p[token] / q[token]).log()))
    assert count == len(rollout.tokens)
    assert reported_kl == pytest.approx(kl / count, abs=2e-3)
    assert reported_change == pytest.approx(logp / count, abs=2e-3)


REPORTED = (
    ("distributions move by ", " nats"),
    ("log-probabilities change by ", ")"),
    ("mean over ", " response tokens"),
)


def sampled(policy: Policy) -> Rollout:
    prompt = policy.encode_prompt(turns("Hello!"))
    request = SampleRequest(prompts=[prompt], params=SamplingParams(max_new_tokens=MAX_NEW_TOKENS), seed=0)
    (rollout,) = sample(policy.network, request, stop_ids=policy.stop_ids, pad_id=policy.pad_id)
    return rollout
