"""Merge an adapter into its base, and measure how much the merge changes the model.

A merge is exact up to rounding, except for an adapter that was trained on a 4-bit base (QLoRA): the adapter
corrects the rounded weights, and the full weights differ from them.  The trained model, with adapter and base
apart, therefore responds to some prompts, and the next-token distributions of both models are compared on
these responses.  N tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from fairlead.core.errors import ModelError
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.records import Message, Messages
from fairlead.encoding import batching
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import ChatFormat
from fairlead.examples.pairs import encode_prompts
from fairlead.model import load, quantize
from fairlead.model.policy import Policy
from fairlead.rollout.engine import LocalEngine
from fairlead.rollout.records import SampleRequest, SamplingParams
from fairlead.rollout.training_rows import training_row

TOLERANCE = 0.02  # nats per token: about the KL that rounding a large model to 4 bits causes by itself
MAX_NEW_TOKENS = 32
MAX_PROMPTS = 16
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
class MergeGap:
    """The difference between the trained and the merged model, on responses of the trained model."""

    kl: float  # nats per token: KL(trained || merged)
    logp: float  # nats: mean absolute change of the log-probability of a response token
    num_tokens: int


def merge_adapter(
    folder: Path,
    prompts: Sequence[Messages],
    *,
    keep_rounding: bool = False,
    source: str = "prompts",
    template: Template = OWN_TEMPLATE,
) -> tuple[Policy, MergeGap]:
    """Merge the adapter in `folder` into its base, in float32.  Raises ModelError if the KL would exceed
    TOLERANCE.

    With `keep_rounding` the adapter is merged into the dequantised 4-bit base, which is exact.  At most
    MAX_PROMPTS prompts are sampled.
    """
    chat = load.load_chat_format(str(folder), template, declared=None)  # refuses a template first
    trained = _policy(load.load_with_adapter(folder), chat)  # type: ignore[arg-type]
    encoded = encode_prompts(trained, prompts[:MAX_PROMPTS], max_new_tokens=MAX_NEW_TOKENS, source=source)
    request = SampleRequest(prompts=encoded, params=SamplingParams(max_new_tokens=MAX_NEW_TOKENS), seed=0)
    rollouts = LocalEngine(trained).sample(request)
    rows = [training_row(rollout) for rollout in rollouts]
    trained_logps = _next_token_logps(trained, rows)
    del trained  # holds one network in memory at a time
    merged = _policy(load.load_with_adapter(folder, rounded=keep_rounding).merge_and_unload(), chat)
    merged_logps = _next_token_logps(merged, rows)
    tokens = torch.tensor([token for rollout in rollouts for token in rollout.tokens])
    gap = _measure_gap(trained_logps, merged_logps, tokens.to(trained_logps.device))
    if not gap.kl <= TOLERANCE:
        is_quantised = quantize.has_record(folder) and not keep_rounding
        raise ModelError(f"{folder}: {_refusal(gap, is_quantised=is_quantised)}")
    return merged, gap


def _policy(network: PreTrainedModel, chat: ChatFormat) -> Policy:
    load.to_default_device(network)
    chat.declare(load.declared_stops(network))
    return Policy(network, chat, "")


@torch.no_grad()
def _next_token_logps(policy: Policy, rows: Sequence[Encoded]) -> Tensor:
    """Log-probabilities of all tokens at each position of the responses.  [N, V]"""
    logps = []
    for row in rows:  # one row at a time, because all logits of a row are in memory at once
        batch = batching.collate([row], pad_id=policy.pad_id, device=policy.device)
        logps.append(policy.logits(batch)[:, :-1][batch.response_mask[:, 1:]].float().log_softmax(dim=-1))
    return torch.cat(logps)


def _measure_gap(trained_logps: Tensor, merged_logps: Tensor, tokens: Tensor) -> MergeGap:
    """[N, V], [N, V], [N]"""
    kl = (trained_logps.exp() * (trained_logps - merged_logps)).sum(dim=1)
    change = (trained_logps - merged_logps).gather(1, tokens[:, None]).abs()
    return MergeGap(float(kl.mean()), float(change.mean()), len(tokens))


def _refusal(gap: MergeGap, *, is_quantised: bool) -> str:
    measured = (
        f"merging would change the model: its next-token distributions move by {gap.kl:.3f} nats "
        f"(KL, mean over {gap.num_tokens} response tokens; their log-probabilities change by "
        f"{gap.logp:.3f}), "
        f"and at most {TOLERANCE} is accepted. "
    )
    if is_quantised:
        return measured + (
            "The base had 4 bits in training: add --keep-rounding to merge into the rounded base, or leave "
            "out --merge."
        )
    return measured + "The sum of base and adapter exceeds the precision of float32. Leave out --merge."
