from pathlib import Path

import pytest
import torch

from fairlead.core.errors import ModelError
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy, load_policy
from fairlead.rollout.merge import LONGEST, PROMPTS, TOLERANCE, merge_adapter
from fairlead.rollout.records import Rollout, Sampling
from fairlead.rollout.sampler import sample
from fakes import save_model, shake, turns

BATCH = collate([Encoded(tuple(range(5, 15)), (False,) * 3 + (True,) * 7)], pad_id=0)


def adapter(folder: Path, lora: Lora) -> Path:
    policy = load_policy(str(save_model(folder / "base", hidden=64)), lora=lora)
    shake(policy.trainable())
    policy.save(folder / "adapter")
    return folder / "adapter"


def test_an_ordinary_merge_changes_nothing(tmp_path: Path) -> None:
    folder = adapter(tmp_path, Lora(4, 8))
    merged, gap = merge_adapter(folder, PROMPTS)
    assert 0 <= abs(gap.kl) < 1e-6 and 0 < gap.logp < 1e-4
    assert len(PROMPTS) < gap.num_tokens <= len(PROMPTS) * LONGEST
    with torch.no_grad():
        assert torch.equal(merged.token_logps(BATCH), load_policy(str(folder)).token_logps(BATCH))


def test_a_merge_that_changes_what_is_said_is_refused_with_a_remedy(tmp_path: Path) -> None:
    folder = adapter(tmp_path, Lora(4, 8, base_bits=4))
    with pytest.raises(
        ModelError,
        match=r"adapter: merged, it would not .* [0-9.]+ nats away .* at most 0.02 .* add --keep-rounding",
    ):
        merge_adapter(folder, PROMPTS)
    merged, gap = merge_adapter(folder, PROMPTS, keep_rounding=True)
    assert abs(gap.kl) < 1e-6
    with torch.no_grad():
        assert torch.equal(merged.token_logps(BATCH), load_policy(str(folder)).token_logps(BATCH))


def test_a_merge_is_accepted_where_the_rounding_is_of_no_weight(tmp_path: Path) -> None:
    base = load_policy(str(save_model(tmp_path / "base", hidden=64)))
    with torch.no_grad():
        for name, parameter in base.network.named_parameters():
            if "_proj" in name:
                parameter.mul_(0.2)  # what is said depends on embeddings and head, which keep their digits
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
    said, moved, count = (float(text.split(before)[1].split(after)[0]) for before, after in REPORTED)
    # the same answer again, by the sampler's promise that a seed and a row give the same numbers
    from_seed = sampled(trained)
    kl, logp = 0.0, 0.0
    for t in range(len(from_seed.prompt_tokens), len(from_seed.prompt_tokens) + len(from_seed.tokens)):
        tokens = torch.tensor([[*from_seed.prompt_tokens, *from_seed.tokens][:t]])
        p, q = (
            policy.network(tokens).logits[0, -1].detach().double().softmax(dim=-1)
            for policy in (trained, full)
        )
        kl += float((p * (p / q).log()).sum())
        chosen = from_seed.tokens[t - len(from_seed.prompt_tokens)]
        logp += abs(float((p[chosen] / q[chosen]).log()))
    assert count == len(from_seed.tokens)
    assert said == pytest.approx(kl / count, abs=2e-3)
    assert moved == pytest.approx(logp / count, abs=2e-3)


REPORTED = (
    ("its next tokens are ", " nats"),
    ("log-probabilities change by ", ")"),
    ("mean over ", " tokens"),
)


def sampled(policy: Policy) -> Rollout:
    prompt = policy.encode_prompt(turns("Hello!"))
    settings = Sampling(max_new_tokens=LONGEST)
    (found,) = sample(
        policy.network, [prompt], settings, stop_ids=policy.stop_ids, pad_id=policy.pad_id, run_seed=0
    )
    return found
