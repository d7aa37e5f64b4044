"""Count how often a run left its normal range, and say when it learned nothing.

The counts are read from the run's metrics at its end.  A sign whose metric was not logged is skipped.  The
signs that nothing was learned are looked for after the first steps too, when there is time to stop.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fairlead.core import jsonl
from fairlead.core.plural import counted
from fairlead.store.artifact import Artifact
from fairlead.store.run import Run

WARN_SHARE = 0.1  # of the steps; less often is noise
NEGATIVE_KL = -0.02  # nats: less is the noise of a policy that has hardly moved
IN_A_ROW = 3
FEWEST_STEPS = 3  # fewer say nothing about learning
EARLY_STEP = 5  # after which a run that learns nothing is announced
SAME_LOSS = 1e-4  # relative distance from the first loss; a loss that learns leaves it, and batches differ
ZERO_GRADIENT = 1e-9
STILL_KL = 1e-7  # nats per response: rounding of a policy that never moved
NOTHING_LEARNED = "nothing_learned"  # the field of the event `health`

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
    """For PPO and GRPO: write an event with all counts, and one warning for the signs that are more than
    noise.
    """
    rows = run.read_metrics()
    signs = examine(rows)
    _write(run, signs, nothing_learned(rows))
    ill = [sign for sign in signs if sign.num_ill > WARN_SHARE * sign.num_steps]
    if ill:
        run.warn(
            "; ".join(
                f"in {sign.num_ill} of {counted(sign.num_steps, 'step')} {sign.meaning}" for sign in ill
            )
            + "."
        )


def report_learning(run: Run) -> None:
    """For methods that fit given rows: write the event, and warn if nothing was learned."""
    _write(run, [], nothing_learned(run.read_metrics()))


def report_equal_scores(run: Run, num_prompts: int) -> None:
    """For best of n: all answers to each prompt scored the same, so that choosing the best chose nothing."""
    sentence = (
        f"nothing was chosen: to each of {counted(num_prompts, 'prompt')} "
        f"all responses scored the same ({EQUAL})."
    )
    run.event("health", **{NOTHING_LEARNED: sentence})
    run.warn(sentence)


def report_stages(run: Run, stages: Sequence[Artifact]) -> None:
    """For methods whose stages are runs of their own: repeat what these say about learning nothing."""
    sentences = {
        stage.manifest.name: read_nothing_learned(run.project.runs / (stage.manifest.run or ""))
        for stage in stages
    }
    silent = [f"{name}: {sentence.rstrip('.')}" for name, sentence in sentences.items() if sentence]
    if silent:
        run.event("health", **{NOTHING_LEARNED: f"{'; '.join(silent)}."})
        run.warn(f"{'; '.join(silent)}.")


def warn_early(run: Run, step: int) -> None:
    """Say after the first steps that nothing is learned, if so."""
    if step == EARLY_STEP and (signs := nothing_learned(run.read_metrics())):
        run.warn(f"so far {_sentence(signs)}")


def read_nothing_learned(folder: Path) -> str:
    """What a run's last event `health` says about learning nothing; empty if it learned."""
    path = folder / "events.jsonl"
    events = [row for _, row in jsonl.read(path)] if path.exists() else []
    sentences = [event.get(NOTHING_LEARNED, "") for event in events if event.get("event") == "health"]
    return str(sentences[-1]) if sentences else ""


def nothing_learned(rows: Sequence[Row]) -> list[Sign]:
    """The signs that a run learned nothing.  Empty for a run that learned, or that has too few steps."""
    if len(rows) < FEWEST_STEPS:
        return []
    signs = [
        _count(rows, "equal_frac", lambda x, _: x >= 1, "all responses scored the same", EQUAL),
        _count(rows, "grad_norm", lambda x, _: x < ZERO_GRADIENT, "the gradient was zero", NO_GRADIENT),
        _still(rows, "kl_k3", lambda x, _: abs(x) < STILL_KL, "KL never left 0", STILL),
        *(
            _still(rows, name, _is_first_loss, f"{name} never left its start", FLAT)
            for name in sorted({name for row in rows for name in row if _is_loss(name, row)})
        ),
    ]
    return [sign for sign in signs if sign is not None and 2 * sign.num_ill > sign.num_steps >= FEWEST_STEPS]


EQUAL = "the reward cannot tell them apart; look at its scores, or raise temperature or group"
NO_GRADIENT = "no weight was moved; look at the reward, the data and the adapter"
STILL = "the policy is still its reference; raise lr or steps, or look at the reward"
FLAT = "the two sides may be equal, or lr is too low"


def _write(run: Run, signs: Sequence[Sign], nothing: Sequence[Sign]) -> None:
    counts = {sign.name: {"steps": sign.num_ill, "of": sign.num_steps} for sign in (*signs, *nothing)}
    if not nothing:
        run.event("health", **counts)
        return
    sentence = _sentence(nothing)
    run.event("health", **counts, **{NOTHING_LEARNED: sentence})
    run.warn(sentence)


def _sentence(signs: Sequence[Sign]) -> str:
    findings = [f"in {sign.num_ill} of {counted(sign.num_steps, 'step')} {sign.meaning}" for sign in signs]
    return f"nothing was learned: {'; '.join(findings)}."


def _is_loss(name: str, row: Row) -> bool:
    """Whether a metric is the loss of a method that fits given rows.

    The loss of a step of PPO or GRPO is about 0 by construction.
    """
    return (
        (name == "loss" or name.endswith("_loss")) and not name.startswith("held_out") and "score" not in row
    )


def _is_first_loss(value: float, first: float) -> bool:
    return abs(value - first) <= SAME_LOSS * max(1.0, abs(first))


def _still(
    rows: Sequence[Row], name: str, is_ill: Callable[[float, float], bool], what: str, meaning: str
) -> Sign | None:
    """A sign that shows only if it shows in every step."""
    sign = _count(rows, name, is_ill, what, meaning)
    return sign if sign is not None and sign.num_ill == sign.num_steps else None


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
