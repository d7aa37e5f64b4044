"""What goes into sampling and what comes out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers are drawn.  Temperature 0 means the likeliest token."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()  # an answer also ends where its text contains one of these


@dataclass(frozen=True)
class Rollout:
    """One answer.

    Rollout(prompt_tokens=(5, 9), tokens=(2, 7, 1), logps=(-0.3, -1.2, -0.1), finish="stop"): token 1 ended the answer.
    """

    prompt_tokens: tuple[int, ...]
    tokens: tuple[int, ...]  # of the answer; the end token is the last where finish is "stop"
    logps: tuple[float, ...]  # of each token under the sampler's distribution
    finish: Literal["stop", "length"]
    reused: int = 0  # how many of the tokens were taken from a draft


# Tokens of an answer -> its text.
Text = Callable[[Sequence[int]], str]
