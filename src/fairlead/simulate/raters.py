"""Simulated raters: compare two answers with noise, ties, individual preferences and biases.

The utility of an answer for a rater is

    u = sharpness * (sum_a taste_a * aspect_a) + length_bias * words / 10 + flourish_bias * [has the flourish]

The answer shown first gets `first_bias` on top.  The rater prefers A with probability sigma(u_A - u_B).  In
this Bradley-Terry model the best possible accuracy is known.  Smaller differences than `tie_width` are ties.
A careless rater sometimes chooses at random, and an adversary chooses the opposite of its preference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from fairlead.core.seed import derive_rng
from fairlead.data.records import Comparison, Message
from fairlead.simulate import gold, vocabulary

Choice = Literal["first", "second", "tie good", "tie bad"]


@dataclass(frozen=True, kw_only=True)
class SimulatedRater:
    """One simulated rater.  The defaults describe a careful rater."""

    name: str
    # How clearly differences are seen: at 18, a flawless answer beats a rude one (0.2 less) in 97 % of
    # comparisons.
    sharpness: float = 18.0
    taste: Mapping[str, float] = field(default_factory=lambda: dict(gold.WEIGHTS))  # weight of each aspect
    tie_width: float = 0.3  # smaller differences of utility are ties
    first_bias: float = 0.0  # added to the utility of the answer shown first
    length_bias: float = 0.0  # per ten words
    # For the flourish.  Above 0.3 it outweighs the cost in conciseness.
    flourish_bias: float = 0.0
    careless: float = 0.0  # share of random choices
    adversary: bool = False  # prefers the worse answer on purpose


# The raters of the quickstart: most are careful, Dan prefers length, Eve is careless.  All like the flourish.
PANEL = (
    SimulatedRater(name="Ada", flourish_bias=0.65),
    SimulatedRater(name="Bo", sharpness=14.0, first_bias=0.3, flourish_bias=0.65),
    SimulatedRater(name="Cleo", flourish_bias=0.65, taste={**gold.WEIGHTS, "concise": 0.10, "helpful": 0.25}),
    SimulatedRater(name="Dan", sharpness=12.0, length_bias=0.15, flourish_bias=0.8),
    SimulatedRater(name="Eve", sharpness=16.0, careless=0.10, flourish_bias=0.65),
)


def utility(rater: SimulatedRater, prompt: str, answer: str, *, finished: bool = True) -> float:
    """Utility of the answer for this rater, without noise."""
    verdict = gold.judge(prompt, answer, finished=finished)
    worth = sum(rater.taste[aspect] * value for aspect, value in verdict.aspects().items())
    flourish = rater.flourish_bias if vocabulary.FLOURISH in answer else 0.0
    return rater.sharpness * worth + rater.length_bias * len(answer.split()) / 10 + flourish


def choose_answer(rater: SimulatedRater, first: float, second: float, rng: Random) -> Choice:
    """Choose between two utilities; `first` is that of the answer shown first."""
    if rng.random() < rater.careless:
        return rng.choice(("first", "second"))
    difference = first + rater.first_bias - second
    if rater.adversary:
        difference = -difference
    if abs(first - second) < rater.tie_width and not rater.adversary:
        return "tie good" if first + second > rater.sharpness * sum(rater.taste.values()) * 1.4 else "tie bad"
    return "first" if rng.random() < sigmoid(difference) else "second"


@dataclass(frozen=True)
class CandidateAnswers:
    """A prompt and the answers to compare."""

    prompt: str
    answers: tuple[str, ...]
    finished: tuple[bool, ...]


def label_pairs(
    candidates: Sequence[CandidateAnswers], panel: Sequence[SimulatedRater], *, run_seed: int
) -> list[Comparison]:
    """One comparison per pair of different answers to a prompt, with a random rater and random order."""
    comparisons = []
    for item in candidates:
        for a in range(len(item.answers)):
            for b in range(a + 1, len(item.answers)):
                if item.answers[a] == item.answers[b]:
                    continue
                rng = derive_rng(run_seed, "label", item.prompt, a, b)
                rater = panel[rng.randrange(len(panel))]
                first, second = (a, b) if rng.random() < 0.5 else (b, a)
                worth = [
                    utility(rater, item.prompt, item.answers[i], finished=item.finished[i])
                    for i in (first, second)
                ]
                comparisons.append(
                    _comparison(item, first, second, choose_answer(rater, worth[0], worth[1], rng), rater)
                )
    return comparisons


def _comparison(
    item: CandidateAnswers, first: int, second: int, choice: Choice, rater: SimulatedRater
) -> Comparison:
    chosen, rejected = (second, first) if choice == "second" else (first, second)
    return Comparison(
        prompt=(Message("user", item.prompt),),
        chosen=(Message("assistant", item.answers[chosen]),),
        rejected=(Message("assistant", item.answers[rejected]),),
        tie="good" if choice == "tie good" else "bad" if choice == "tie bad" else None,
        rater=rater.name,
    )


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
