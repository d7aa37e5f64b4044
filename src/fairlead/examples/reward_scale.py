"""Measure the scale of a reward model's scores and store it with the model.

Rewards are (score - mean) / std, so that weights and penalties mean the same for every reward model.
"""

from collections.abc import Sequence

from fairlead.data.records import Demonstration
from fairlead.examples.preferences import EncodedPreference, score_all, score_conversations
from fairlead.model.scalar_model import ScalarModel

SMALLEST_STD = 1e-6  # equal scores would otherwise divide by zero


def store_scale(
    model: ScalarModel,
    held_out: Sequence[EncodedPreference],
    references: Sequence[Demonstration] | None,
    micro_tokens: int,
) -> None:
    """Store the mean and standard deviation of the scores of held-out answers; first of each aspect, then of
    the total.

    With `references`, the mean is that of these demonstrations, whose mean reward becomes 0.
    """
    scored = score_all(model, held_out, micro_tokens)
    if model.aspects is not None:
        heads = scored.present_values(scored.heads)  # [answers, aspects]
        means = tuple(heads.mean(dim=0).tolist())
        stds = tuple(heads.std(dim=0).clamp(min=SMALLEST_STD).tolist())
        model.set_aspects(model.aspects._replace(means=means, stds=stds))
    totals = model.total(scored.present_values(scored.heads))
    mean = float(totals.mean())
    if references:
        conversations = [(*record.prompt, *record.completion) for record in references]
        tools = [record.tools for record in references]
        mean = sum(score_conversations(model, conversations, micro_tokens, tools)) / len(conversations)
    model.set_scale(mean=mean, std=max(float(totals.std()), SMALLEST_STD))
