"""Count how often a PPO or GRPO run left its normal range, and explain what this usually means.

The counts are read from the run's metrics at its end.  A sign whose metric was not logged is skipped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fairlead.store.run import Run

WARN_SHARE = 0.1  # of the steps; less often is noise
NEGATIVE_KL = -0.02  # nats: less is the noise of a policy that has hardly moved
IN_A_ROW = 3

Row = Mapping[str, Any]


class Sign(NamedTuple):
    """A symptom, and in how many of the steps that logged its metric it showed."""

    name: str
    num_ill: int
    num_steps: int
    meaning: str


def examine(rows: Sequence[Row]) -> list[Sign]:
    """All signs whose metrics were logged, whether they showed or not."""
    signs = [
        _count(
            rows,
            "ratio",
            lambda x, _: abs(x - 1) > 0.01,
            "the mean ratio of the first pass was more than 0.01 from 1",
            RATIO,
        ),
        _count(rows, "clip_frac", lambda x, _: x > 0.3, "more than 0.3 of the tokens were clipped", CLIPPED),
        _count(
            rows, "explained_variance", lambda x, _: x < 0, "the critic was worse than a constant", CRITIC
        ),
        _count(
            rows,
            "entropy",
            lambda x, first: x < 0.2 * first,
            "entropy was below a fifth of its start",
            ENTROPY,
        ),
        _count(
            rows,
            "finished_frac",
            lambda x, first: x < first - 0.1,
            "answers ended by themselves less often than at the start",
            ENDS,
        ),
        _count(
            rows,
            "score_std",
            lambda x, first: x > 2 * first,
            "the reward models disagreed twice as much as at the start",
            APART,
        ),
        _negative_kl(rows),
        _longer(rows),
    ]
    return [sign for sign in signs if sign is not None]


RATIO = "sampling and training disagree about the same tokens; see sampler_gap"
CLIPPED = "steps are too large; lower lr or epochs"
CRITIC = "it misleads the policy; raise critic_lr, or train it alone first (critic_warmup)"
ENTROPY = "the policy gives the same answer to everything; raise kl_coef or lower lr"
ENDS = "the policy forgets to stop; raise unfinished_penalty or max_new_tokens"
APART = (
    "responses are unlike those that the members were trained on, so the score means less; "
    "pool by mean-variance or worst, or stop earlier"
)
NEGATIVE = "answers do not come from the policy that is scored, or too few are sampled; see sampler_gap"
LENGTH = "the reward pays for length; compare answers of like length"


def report(run: Run) -> None:
    """Write an event with all counts, and one warning for the signs that are more than noise."""
    signs = examine(run.read_metrics())
    run.event("health", **{sign.name: {"steps": sign.num_ill, "of": sign.num_steps} for sign in signs})
    ill = [sign for sign in signs if sign.num_ill > WARN_SHARE * sign.num_steps]
    if ill:
        run.warn(
            "; ".join(f"in {sign.num_ill} of {sign.num_steps} steps {sign.meaning}" for sign in ill) + "."
        )


def _count(
    rows: Sequence[Row], name: str, is_ill: Callable[[float, float], bool], what: str, meaning: str
) -> Sign | None:
    """Steps whose value is out of range; `is_ill` gets the value and the first step's value."""
    values = [row[name] for row in rows if name in row]
    if not values:
        return None
    return Sign(name, sum(is_ill(value, values[0]) for value in values), len(values), f"{what} ({meaning})")


def _negative_kl(rows: Sequence[Row]) -> Sign | None:
    """Steps in streaks of three or more clearly negative estimates; single negative estimates are noise
    around 0.
    """
    values = [row["kl"] for row in rows if "kl" in row]
    if not values:
        return None
    count = length = 0
    for value in [*values, 0.0]:
        if value < NEGATIVE_KL:
            length += 1
            continue
        count += length if length >= IN_A_ROW else 0
        length = 0
    return Sign("kl", count, len(values), f"the estimate of KL was negative again and again ({NEGATIVE})")


def _longer(rows: Sequence[Row]) -> Sign | None:
    """Steps with answers 1.5 times as long as at the start, in a run whose score correlates with length."""
    pairs = [
        (row["response_tokens"], row["score"]) for row in rows if "response_tokens" in row and "score" in row
    ]
    if not pairs:
        return None
    long = sum(length > 1.5 * pairs[0][0] for length, _ in pairs)
    together = _correlation(pairs) > 0.5
    return Sign(
        "response_tokens",
        long if together else 0,
        len(pairs),
        f"answers were half as long again and scored more ({LENGTH})",
    )


def _correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson's correlation; 0 if either variable is constant."""
    n = len(pairs)
    mean_x, mean_y = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    xx = sum((x - mean_x) ** 2 for x, _ in pairs)
    yy = sum((y - mean_y) ** 2 for _, y in pairs)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    return float(xy / (xx * yy) ** 0.5) if xx > 0 and yy > 0 else 0.0
