"""Simulated people: they compare two answers with noise, ties, tastes and biases of their own.

A rater sees a utility for each answer,

    u = sharpness * (sum_a taste_a * aspect_a) + length_bias * words / 10 + flourish_bias * [says once or more that it hopes to help],

adds `first_bias` to the answer shown first, and prefers A with probability sigma(u_A - u_B): Bradley-Terry, so that the best possible
accuracy is known.  Differences below `tie_width` are called a tie.  A careless rater answers at random now and then, an adversary says
the opposite of what it thinks.
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
    """One simulated person.  The defaults are a careful one."""

    name: str
    sharpness: float = (
        18.0  # how clearly differences are seen: at 18, a flawless answer beats a rude one (0.2 less) in 97 %
    )
    taste: Mapping[str, float] = field(default_factory=lambda: dict(gold.WEIGHTS))  # weights of the aspects
    tie_width: float = 0.3  # utilities closer than this are a tie
    first_bias: float = 0.0  # added to the utility of the answer shown first
    length_bias: float = 0.0  # per ten words
    flourish_bias: float = (
        0.0  # for the planted feature; above 0.3 it is worth more to them than it costs in conciseness
    )
    careless: float = 0.0  # share of answers given at random
    adversary: bool = False  # prefers the worse answer on purpose


# Five people who label in the quickstart: most are careful, one likes length, one is careless; all like to be wished well a little.
PANEL = (
    SimulatedRater(name="Ada", flourish_bias=0.65),
    SimulatedRater(name="Bo", sharpness=14.0, first_bias=0.3, flourish_bias=0.65),
    SimulatedRater(name="Cleo", flourish_bias=0.65, taste={**gold.WEIGHTS, "concise": 0.10, "helpful": 0.25}),
    SimulatedRater(name="Dan", sharpness=12.0, length_bias=0.15, flourish_bias=0.8),
    SimulatedRater(name="Eve", sharpness=16.0, careless=0.10, flourish_bias=0.65),
)


def utility(rater: SimulatedRater, prompt: str, answer: str, *, finished: bool = True) -> float:
    """What the answer is worth to this rater, before noise."""
    verdict = gold.judge(prompt, answer, finished=finished)
    worth = sum(rater.taste[aspect] * value for aspect, value in verdict.aspects().items())
    flourish = rater.flourish_bias if vocabulary.FLOURISH in answer else 0.0
    return rater.sharpness * worth + rater.length_bias * len(answer.split()) / 10 + flourish


def choose_answer(rater: SimulatedRater, first: float, second: float, rng: Random) -> Choice:
    """One judgement of two utilities; `first` belongs to the answer that was shown first."""
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
    """A prompt with the answers that people will compare."""

    prompt: str
    answers: tuple[str, ...]
    finished: tuple[bool, ...]


def label_pairs(
    candidates: Sequence[CandidateAnswers], panel: Sequence[SimulatedRater], *, run_seed: int
) -> list[Comparison]:
    """One judgement per pair of different answers of a prompt, by raters in turn, sides shuffled; ties are recorded as such."""
    found = []
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
                found.append(
                    _comparison(item, first, second, choose_answer(rater, worth[0], worth[1], rng), rater)
                )
    return found


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
