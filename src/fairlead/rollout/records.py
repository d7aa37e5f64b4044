"""What a sampling engine receives and returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fairlead.data.records import Prompt

# Decodes the tokens of a response to text.
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How responses are drawn.  Temperature 0 means greedy decoding."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0  # 0 keeps all tokens
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()  # a response also ends with the token that completes one of these strings


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """One response is drawn for each prompt; a prompt that occurs n times gets n independent responses.

    SampleRequest(prompts=[(5, 9), (5, 9)], params=SamplingParams(max_new_tokens=16), seed=0): two responses
    to one prompt.
    """

    prompts: Sequence[Sequence[int]]
    params: SamplingParams
    seed: int
    # Row i draws its random numbers from the seed and row_ids[i].  None means 0, 1, 2, ...
    row_ids: Sequence[int] | None = None
    # Earlier responses, one per prompt, possibly empty.  They may save time and never change the result.
    drafts: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True)
class Rollout:
    """One prompt and its sampled response.

    Rollout(prompt_tokens=(5, 9), tokens=(2, 7, 1), logps=(-0.3, -1.2, -0.1), finish_reason="stop"): token 1
    ended the response.
    """

    prompt_tokens: tuple[int, ...]
    tokens: tuple[int, ...]  # of the response; the stop token is the last when finish_reason is "stop"
    logps: tuple[float, ...]  # log-probability of each token under the sampler's distribution
    finish_reason: Literal["stop", "length"]
    num_reused: int = 0  # tokens taken from a draft

    @property
    def finished(self) -> bool:
        """Whether the response ended by itself, and not at max_new_tokens."""
        return self.finish_reason == "stop"


@dataclass(frozen=True)
class Answer:
    """A response as text, with the row of the prompts that it answers: what a judge scores.

    Answer(Prompt((user "2 + 2?",), reference="4"), "It is 4.", finished=True, number=7)
    """

    row: Prompt
    text: str
    finished: bool  # ended by itself, and not at max_new_tokens
    number: int = 0  # of the row in its file, from 1; 0 if it is not known
