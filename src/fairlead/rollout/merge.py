"""An adapter merged into its base, with a look at what that changes.

A merge is exact up to rounding, except where the base had 4 bits while the adapter was trained (QLoRA): the adapter corrects the rounded
weights, and the full ones are others.  So the model as it was trained, adapter and base apart, answers some prompts, and on its answers
both distributions of every next token are compared.  N tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fairlead.core.errors import ModelError
from fairlead.data.records import Message, Messages
from fairlead.encoding import batching
from fairlead.encoding.chat import Encoded
from fairlead.examples.pairs import encode_prompts
from fairlead.model import load, quantize
from fairlead.model.policy import Policy
from fairlead.rollout.records import Sampling
from fairlead.rollout.sampler import sample
from fairlead.rollout.training_rows import answered

TOLERANCE = 0.02  # nats a token: about what rounding a large model to 4 bits costs by itself
LONGEST = 32  # tokens of an answer
MOST = 16  # prompts
PROMPTS: tuple[Messages, ...] = tuple(
    (Message("user", text),)
    for text in (
        "Hello! Who are you?",
        "What is the capital of France?",
        "Explain in two sentences why the sky is blue.",
        "What is 17 plus 25?",
        "Write a short story about a fox.",
        "Say politely: send me the report now.",
        "Name three uses of a paper clip.",
        "How do I boil an egg?",
    )
)


@dataclass(frozen=True)
class Gap:
    """Between the model as it was trained and the merged one, on the answers of the first."""

    kl: float  # nats a token, of the trained one's distribution from the merged one's
    logp: float  # nats: how much the log-probabilities of the answers' tokens changed, in the mean
    num_tokens: int


def merge_adapter(
    folder: Path, prompts: Sequence[Messages], *, keep_rounding: bool = False, source: str = "prompts"
) -> tuple[Policy, Gap]:
    """The adapter in `folder` merged into its base, in float32; raises ModelError where more than TOLERANCE would change.

    With `keep_rounding` it is merged into what 4 bits left of the base, which is exact.  At most MOST prompts are answered.
    """
    tokenizer = load.load_tokenizer(str(folder))
    trained = _policy(load.load_with_adapter(folder), tokenizer)  # type: ignore[arg-type]
    encoded = encode_prompts(trained, prompts[:MOST], max_new_tokens=LONGEST, source=source)
    settings = Sampling(max_new_tokens=LONGEST)
    rollouts = sample(
        trained.network, encoded, settings, stop_ids=trained.stop_ids, pad_id=trained.pad_id, run_seed=0
    )
    rows = [answered(rollout) for rollout in rollouts]
    before = _distributions(trained, rows)
    del trained  # one network at a time
    merged = _policy(load.load_with_adapter(folder, rounded=keep_rounding).merge_and_unload(), tokenizer)
    after = _distributions(merged, rows)
    gap = _gap(
        before, after, torch.tensor([token for r in rollouts for token in r.tokens], device=before.device)
    )
    if not gap.kl <= TOLERANCE:
        raise ModelError(
            f"{folder}: {_refusal(gap, four_bits=quantize.has_record(folder) and not keep_rounding)}"
        )
    return merged, gap


def _policy(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Policy:
    load.to_default_device(network)
    return Policy(network, tokenizer, "")


@torch.no_grad()
def _distributions(policy: Policy, rows: Sequence[Encoded]) -> Tensor:
    """Log-probabilities of every possible token where an answer's tokens stand.  [N, V]"""
    found = []
    for row in rows:  # one by one: all logits of a row exist for a moment
        one = batching.collate([row], pad_id=policy.pad_id, device=policy.device)
        found.append(policy.logits(one)[:, :-1][one.response_mask[:, 1:]].float().log_softmax(dim=-1))
    return torch.cat(found)


def _gap(before: Tensor, after: Tensor, tokens: Tensor) -> Gap:
    """[N, V] twice, [N]"""
    kl = (before.exp() * (before - after)).sum(dim=1)
    moved = (before - after).gather(1, tokens[:, None]).abs()
    return Gap(float(kl.mean()), float(moved.mean()), len(tokens))


def _refusal(gap: Gap, *, four_bits: bool) -> str:
    found = (
        f"merged, it would not say what it was trained to say: its next tokens are {gap.kl:.3f} nats away (KL, mean over {gap.num_tokens} "
        f"tokens of its answers; their log-probabilities change by {gap.logp:.3f}), and at most {TOLERANCE} are accepted. "
    )
    if four_bits:
        return (
            found
            + "Its base had 4 bits while it was trained: add --keep-rounding to merge into what these left, or leave out --merge."
        )
    return found + "Its weights are too large for float32 to hold the sum. Leave out --merge."
