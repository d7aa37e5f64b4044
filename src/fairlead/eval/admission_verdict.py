"""Verdict on a reward model: the thresholds with their reasons, and the sentences of the admission report.

This module computes no metrics; it reads those of `reward_metrics` and `reward_scoring`.  A model is refused
if its scores are meaningless.  A warning is something that a user of the scores should know.  Thresholds are
compared with the unfavourable end of an interval where there is one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.core.plural import agreeing, counted
from fairlead.train.admission_gate import Verdict

# ---- refuse

# Accuracy of a random choice on held-out pairs.
COIN = 0.5
# Limits as shares of the standard deviation of the scores.  Saving and reloading moves a score by 1e-6 in
# float32 and by about 1e-2 after training in bfloat16.  A head that was not saved moves it by about 1.
MOST_MOVED_BY_SAVING = 0.1
# Other rows in the batch must not change a score.  Rounding moves it by 1e-5, an error in padding by more
# than 0.1.
MOST_MOVED_BY_BATCH = 0.01

# ---- warn

# With 100 prompts, the interval of an accuracy of 0.7 is 0.18 wide.  Fewer cannot tell a good model from a
# mediocre one.
FEW_PROMPTS = 100
# Larger errors mislead everything that reads margins as probabilities: margins, uncertainty, label filters.
MOST_CALIBRATION_ERROR = 0.05
# At 0.5, length explains a quarter of the variance of the margins beyond the raters' choices.  A policy will
# exploit it.
MOST_LENGTH_CORRELATION = 0.5
# Members that disagree on more than every fourth pair do not measure the same thing.
MOST_DISAGREEMENT = 0.25
# Smaller slices give no evidence that a model is wrong.
FEW_IN_SLICE = 20


@dataclass(frozen=True)
class AdmissionDecision:
    verdict: Verdict
    reasons: tuple[str, ...] = ()  # reasons for a refusal
    warnings: tuple[str, ...] = ()


def decide_admission(metrics: Mapping[str, Any]) -> AdmissionDecision:
    """Decide about a reward model from the metrics of its admission report."""
    return _decision(_refusals(metrics), _warnings(metrics))


def decide_step_admission(metrics: Mapping[str, Any]) -> AdmissionDecision:
    """Decide about a process reward model from its metrics on held-out steps, with the same thresholds."""
    refusals = [*_leak_refusals(metrics.get("leaks"))]
    warnings = []
    accuracy = metrics["accuracy"]
    lead = metrics["lead"]
    if lead["value"] <= 0:
        baseline = accuracy["value"] - lead["value"]
        refusals.append(
            f"The model is right on {_share(accuracy)} of the steps, and a content-blind baseline on "
            f"{baseline:.1%}. The model learned nothing beyond the baseline. Add answers, or train longer."
        )
    elif (lead["low"] or 0) <= 0:
        warnings.append(
            "The model is not significantly better than a content-blind baseline. Hold out more prompts."
        )
    if metrics["held_out_prompts"] < FEW_PROMPTS:
        warnings.append(_few_prompts(metrics["held_out_prompts"]))
    error = metrics["calibration_error"]
    if error > max(MOST_CALIBRATION_ERROR, metrics["chance_error"]):
        warnings.append(
            f"The calibration error is {error:.3f} (by chance up to {metrics['chance_error']:.3f}). "
            "Pooling by product or mean is affected most."
        )
    return _decision(refusals, warnings)


def _decision(refusals: Iterable[str], warnings: Iterable[str]) -> AdmissionDecision:
    reasons = tuple(refusals)
    remarks = tuple(warnings)
    verdict: Verdict = "refuse" if reasons else "admit with warnings" if remarks else "admit"
    return AdmissionDecision(verdict, reasons, remarks)


def _refusals(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield from _leak_refusals(metrics.get("leaks"))
    if metrics["not_finite"]:
        yield (
            f"{metrics['not_finite']} scores are not finite, so the weights are damaged. "
            "Train the model again with a lower lr."
        )
        return
    head = metrics["head"]
    batches = metrics["batches"]
    if head is not None and head["moved"] == 0:
        yield "The head did not change in training, so the model learned nothing. Train it with lr above 0."
    if head is not None and head["gap"] > MOST_MOVED_BY_SAVING:
        yield (
            f"After saving and reloading, scores differ by {head['gap']:.2g} of their standard deviation. "
            "The saved model is not the trained model."
        )
    if batches["gap"] > MOST_MOVED_BY_BATCH:
        yield (
            f"Scores depend on the other rows of the batch, by {batches['gap']:.2g} "
            "of their standard deviation. "
            "Check the padding token and the attention mask of the model."
        )
    accuracy = metrics["accuracy"]
    if accuracy["low"] <= COIN:
        yield (
            f"The held-out accuracy of {_share(accuracy)} is not significantly better than chance. "
            "Hold out more prompts, add comparisons, or review the labels."
        )
    yield from _lost_to_baselines(metrics)


def _lost_to_baselines(metrics: Mapping[str, Any]) -> Iterator[str]:
    accuracy = metrics["accuracy"]
    baselines = metrics["baselines"]
    for name, rule in (("length_only", "a length-only rule"), ("position_only", "a position-only rule")):
        baseline = baselines[name]
        # A baseline at chance level shows nothing; a model that does not exceed chance is refused above.
        if baseline is not None and COIN < baseline["value"] >= accuracy["value"]:
            yield (
                f"The model is right on {accuracy['value']:.1%} of the pairs, "
                f"and {rule} on {baseline['value']:.1%}. "
                "Add pairs that this rule cannot decide."
            )
    words = baselines["bag_of_words"]
    if words["lead"]["high"] is not None and words["lead"]["high"] < 0:
        yield (
            f"A bag-of-words model is right on {words['value']:.1%} of the pairs, the reward model on "
            f"{accuracy['value']:.1%}. Train longer, with a higher lr, or from a better language model."
        )


def _warnings(metrics: Mapping[str, Any]) -> Iterator[str]:
    if metrics["prompts"] < FEW_PROMPTS:
        yield _few_prompts(metrics["prompts"])
    if metrics["not_finite"]:
        return
    yield from _close_baselines(metrics)
    yield from _calibration_warnings(metrics["calibration"])
    length = metrics["length"]["given_choice"]
    if (
        length is not None
        and abs(length["value"]) > MOST_LENGTH_CORRELATION
        and metrics["pairs"] >= FEW_IN_SLICE
    ):
        direction = "longer" if length["value"] > 0 else "shorter"
        yield (
            f"The model rewards {direction} answers beyond the raters' preference "
            f"(correlation {length['value']:.2f} within pairs). A policy will exploit this. "
            "Add pairs of similar length, and monitor the length of the answers."
        )
    ensemble = metrics["ensemble"]
    if ensemble is not None and ensemble["disagree"]["value"] > MOST_DISAGREEMENT:
        yield (
            f"The members of the ensemble disagree on {ensemble['disagree']['value']:.0%} of the pairs. "
            "Train them longer, or on more comparisons."
        )
    accuracy = metrics["accuracy"]
    ceiling = metrics["ceiling"]
    if ceiling is not None and accuracy["high"] < ceiling["agreement"]["low"]:
        yield (
            f"Raters agree with each other on {_share(ceiling['agreement'])} of the pairs, "
            f"and the model agrees with them on {_share(accuracy)}. "
            "Train longer, or from a better language model."
        )
    for group in metrics["slices"]:
        share = group["accuracy"]
        if share["high"] < COIN and share["n"] >= FEW_IN_SLICE:
            yield (
                f"On {group['by']} {group['name']!r} the model prefers the rejected answer "
                f"(accuracy {_share(share)}). Review these rows."
            )


def _leak_refusals(leaks: Mapping[str, Any] | None) -> Iterator[str]:
    """Leaks that could not be excluded, because nothing would have been left."""
    if leaks is not None and leaks["rows"] and not leaks["excluded"]:
        yield (
            f"{leaks['rows']:,} of {counted(leaks['of'], 'held-out row')} {agreeing(leaks['rows'], 'has')} a "
            f"training prompt of {' and '.join(leaks['by'])}, so the accuracy is no evidence. Examine the "
            "model on other prompts with `fairlead eval`, or train it on prompts that the other model was "
            "not trained on."
        )


def _close_baselines(metrics: Mapping[str, Any]) -> Iterator[str]:
    for name, rule in (
        ("length_only", "length-only"),
        ("position_only", "position-only"),
        ("bag_of_words", "bag-of-words"),
    ):
        baseline = metrics["baselines"][name]
        if (
            baseline is not None
            and metrics["accuracy"]["value"] > baseline["value"]
            and (baseline["lead"]["low"] or 0) <= 0
        ):
            yield (
                f"The model is not significantly better than the {rule} baseline ({_share(baseline)}). "
                "Hold out more prompts."
            )


def _calibration_warnings(calibration: Mapping[str, Any]) -> Iterator[str]:
    error = calibration["error"]
    if calibration["temperature"] is None:
        yield (
            "The margins point the wrong way on average, so they cannot be calibrated. "
            "Use only the order of scores."
        )
    elif error is not None and error > max(MOST_CALIBRATION_ERROR, calibration["chance_error"]):
        yield (
            f"The calibration error after temperature scaling is {error:.3f} (by chance up to "
            f"{calibration['chance_error']:.3f}). Do not read margins as probabilities."
        )


def _few_prompts(num_prompts: int) -> str:
    return (
        f"The model was examined on only {counted(num_prompts, 'prompt')}. "
        f"With fewer than {FEW_PROMPTS}, the accuracy is uncertain. Hold out more prompts."
    )


def _share(interval: Mapping[str, Any]) -> str:
    return f"{interval['value']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"
