"""Whether a reward model may pay a policy: the thresholds, each with its reason, and the words that say what to do.

It reads the figures that `evidence` and `scoring` make and computes none itself.  A refusal is for what makes the score meaningless; a
warning is for what its user should know.  What a threshold is compared with is an interval's bad end where there is an interval.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.train.admission_gate import Verdict

# ---- refuse

# A coin.  What is not shown to beat it on pairs that it never saw has not been shown to know anything.
COIN = 0.5
# Shares of the scores' spread.  Saved and read again a score moves by 1e-6 in float32 and by some 1e-2 after training in bfloat16; a
# head that was not saved moves it by about 1.
MOST_MOVED_BY_SAVING = 0.1
# A row's score must not depend on the rows beside it.  Rounding is 1e-5; a mistake in padding or positions is above 0.1.
MOST_MOVED_BY_BATCH = 0.01

# ---- warn

# At 100 prompts the interval of an accuracy of 0.7 is 0.18 wide: fewer cannot tell a good model from a middling one.
FEW_PROMPTS = 100
# A stated probability that is wrong by more than this on average misleads what reads it as one: margins, uncertainty, label filters.
MOST_CALIBRATION_ERROR = 0.05
# At 0.5 a quarter of the variance of the margins is length, beyond what people's choices explain: a policy will find it.
MOST_LENGTH_CORRELATION = 0.5
# Members that order more than every fourth pair differently do not measure one thing.
MOST_DISAGREEMENT = 0.25
# Below this a slice is too small to be called wrong.
FEW_IN_SLICE = 20


@dataclass(frozen=True)
class AdmissionDecision:
    verdict: Verdict
    reasons: tuple[str, ...] = ()  # of a refusal
    warnings: tuple[str, ...] = ()


def decide_admission(figures: Mapping[str, Any]) -> AdmissionDecision:
    return _decision(_refusals(figures), _warnings(figures))


def decide_step_admission(figures: Mapping[str, Any]) -> AdmissionDecision:
    """Of a process reward model, from the figures of held-out steps; the thresholds are the same."""
    refusals, warnings = [], []
    accuracy, lead, prompts = figures["accuracy"], figures["lead"], figures["held_out_prompts"]
    if lead["value"] <= 0:
        unread = accuracy["value"] - lead["value"]
        refusals.append(
            f"It is right about {_share(accuracy)} of the steps, a rule that does not read them about {unread:.1%}. "
            "It has learned nothing else: bring more answers, or train longer."
        )
    elif (lead["low"] or 0) <= 0:
        warnings.append(
            "It is not shown to be better than a rule that does not read the steps. More held-out prompts would tell."
        )
    if prompts < FEW_PROMPTS:
        warnings.append(_few(prompts))
    if figures["calibration_error"] > max(MOST_CALIBRATION_ERROR, figures["chance_error"]):
        warnings.append(
            f"Its probabilities are off by {figures['calibration_error']:.3f} on average (by chance up to {figures['chance_error']:.3f}). "
            "Pools that multiply or average them feel it most."
        )
    return _decision(refusals, warnings)


def _decision(refusals: Iterable[str], warnings: Iterable[str]) -> AdmissionDecision:
    reasons, remarks = tuple(refusals), tuple(warnings)
    return AdmissionDecision(
        "refuse" if reasons else "admit with warnings" if remarks else "admit", reasons, remarks
    )


def _refusals(figures: Mapping[str, Any]) -> Iterator[str]:
    if figures["not_finite"]:
        yield f"{figures['not_finite']} of its scores are no finite numbers. Its weights are damaged; train it again with a lower lr."
        return
    head, batches = figures["head"], figures["batches"]
    if head is not None and head["moved"] == 0:
        yield "The saved head is the one that training began with: it learned nothing. Train it again, with lr above 0."
    if head is not None and head["gap"] > MOST_MOVED_BY_SAVING:
        yield f"Saved and read again it gives other scores, by {head['gap']:.2g} of their spread. What was saved is not what was trained."
    if batches["gap"] > MOST_MOVED_BY_BATCH:
        yield (
            f"The score of an answer depends on the answers beside it, by {batches['gap']:.2g} of the scores' spread. "
            "Look at the model's padding token and at its attention mask."
        )
    accuracy = figures["accuracy"]
    if accuracy["low"] <= COIN:
        yield (
            f"Its accuracy of {_share(accuracy)} on pairs that it never saw is not shown to be better than a coin. "
            "Hold more prompts out, bring more comparisons, or look at how people labelled them."
        )
    for name, what in (
        ("length_only", "looking at length alone"),
        ("position_only", "always choosing the same side"),
    ):
        baseline = figures["baselines"][name]
        # One that is no better than a coin shows nothing; what is not above it was refused for that already.
        if baseline is not None and COIN < baseline["value"] >= accuracy["value"]:
            yield (
                f"It is right in {accuracy['value']:.1%} of the pairs, {what} in {baseline['value']:.1%}. "
                "It has not learned more than that: bring pairs of answers that this does not tell apart."
            )
    words = figures["baselines"]["bag_of_words"]
    if words["lead"]["high"] is not None and words["lead"]["high"] < 0:
        yield (
            f"Counting words is right in {words['value']:.1%} of the pairs, more often than the model ({accuracy['value']:.1%}). "
            "Train longer, with a higher lr, or from a better language model."
        )


def _warnings(figures: Mapping[str, Any]) -> Iterator[str]:
    if figures["prompts"] < FEW_PROMPTS:
        yield _few(figures["prompts"])
    if figures["not_finite"]:
        return
    accuracy = figures["accuracy"]
    for name, what in (
        ("length_only", "length"),
        ("position_only", "position"),
        ("bag_of_words", "counted words"),
    ):
        baseline = figures["baselines"][name]
        if (
            baseline is not None
            and accuracy["value"] > baseline["value"]
            and (baseline["lead"]["low"] or 0) <= 0
        ):
            yield f"It is not shown to be better than a rule that knows {what} only ({_share(baseline)}). More held-out prompts would tell."
    calibration = figures["calibration"]
    if calibration["temperature"] is None:
        yield "No temperature makes probabilities of its margins: on average they point the wrong way. Use its order only."
    elif calibration["error"] is not None and calibration["error"] > max(
        MOST_CALIBRATION_ERROR, calibration["chance_error"]
    ):
        yield (
            f"Its probabilities are off by {calibration['error']:.3f} on average after a temperature was fitted "
            f"(by chance up to {calibration['chance_error']:.3f}). Do not read its margins as probabilities."
        )
    length = figures["length"]["given_choice"]
    if (
        length is not None
        and abs(length["value"]) > MOST_LENGTH_CORRELATION
        and figures["pairs"] >= FEW_IN_SLICE
    ):
        way = "longer" if length["value"] > 0 else "shorter"
        yield (
            f"It pays for {way} answers beyond what people chose (correlation {length['value']:.2f} inside pairs). "
            "A policy will find this: bring pairs of like length, and watch the answers' length."
        )
    ensemble = figures["ensemble"]
    if ensemble is not None and ensemble["disagree"]["value"] > MOST_DISAGREEMENT:
        yield f"Its members order {ensemble['disagree']['value']:.0%} of the pairs differently. Train them longer, or on more comparisons."
    ceiling = figures["ceiling"]
    if ceiling is not None and accuracy["high"] < ceiling["agreement"]["low"]:
        yield (
            f"People agree with each other in {_share(ceiling['agreement'])}, it agrees with them in {_share(accuracy)}: "
            "there is more to learn from these labels. Train longer or from a better language model."
        )
    for each in figures["slices"]:
        share = each["accuracy"]
        if share["high"] < COIN and share["n"] >= FEW_IN_SLICE:
            yield f"On {each['by']} {each['name']!r} it prefers the answer that people rejected ({_share(share)}). Look at these rows."


def _few(prompts: int) -> str:
    counted = f"{prompts} prompt{'' if prompts == 1 else 's'}"
    return (
        f"It was examined on {counted} only; below {FEW_PROMPTS} an accuracy is hardly known. Hold more out."
    )


def _share(interval: Mapping[str, Any]) -> str:
    return f"{interval['value']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"
