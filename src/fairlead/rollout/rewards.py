"""What a sampled answer is worth: from a reward model, or from a rule in Python.  One number per answer, [B]."""

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.data.records import Message, Messages
from fairlead.model.batch import collate, in_micro_batches
from fairlead.model.heads import ScalarModel

# A rule reads the prompt's messages, the answer's text and whether the answer came to its end.
Rule = Callable[[Messages, str, bool], float]
Reward = Callable[[Sequence[Messages], Sequence[str], Sequence[bool]], Tensor]


def from_model(model: ScalarModel, *, micro_tokens: int) -> Reward:
    """The model's score on the scale of its held-out answers: (score - mean) / std.  An answer that was cut off is read as if it ended."""

    @torch.no_grad()
    def score(prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]) -> Tensor:
        rows = [model.encode((*prompt, Message("assistant", text))) for prompt, text in zip(prompts, texts, strict=True)]
        raw = in_micro_batches(model.scores, collate(rows, pad_id=model.pad_id), micro_tokens)
        return (raw - model.reward_mean) / model.reward_std

    return score


def from_rule(rule: Rule) -> Reward:
    def score(prompts: Sequence[Messages], texts: Sequence[str], finished: Sequence[bool]) -> Tensor:
        return torch.tensor([rule(*item) for item in zip(prompts, texts, finished, strict=True)], dtype=torch.float32)

    return score


def read_rule(path: Path) -> Rule:
    """The function `score(prompt, answer, finished) -> float` of a Python file that the user named; the file is run."""
    found = runpy.run_path(str(path)).get("score")
    if not callable(found):
        raise ConfigError(
            f"{path}: defines no function score(prompt, answer, finished). A rule needs one that returns a number."
        )
    return found  # type: ignore[no-any-return]
