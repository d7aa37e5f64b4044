"""The page of an admission report: the verdict with its reasons and warnings, and the evidence behind the
verdict.

This module only renders a finished report, as `admission.json` holds it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from fairlead.core.plural import left_out_text
from fairlead.report import charts, formatting, templating
from fairlead.stats.interval import Interval

HEADLINES = {
    "admit": "may be used as a reward",
    "admit with warnings": "may be used as a reward, with care",
    "refuse": "should not be used as a reward",
}
BASELINES = (
    ("bag_of_words", "Bag of words"),
    ("length_only", "Length only"),
    ("position_only", "Position only"),
)
KINDS = (
    ("margin", "Stated margin of the preference"),
    ("length", "Length of the chosen answer"),
    ("rater", "Rater"),
    ("tag", "Tag"),
)
LENGTHS = (
    ("all_answers", "score and length, all answers"),
    ("inside_pairs", "differences inside pairs"),
    ("given_choice", "inside pairs, beyond the choice"),
)

LONGEST_NAME = 16  # characters


class AdmissionInput(NamedTuple):
    role: str
    name: str
    digest: str


class AdmissionFigure(NamedTuple):
    label: str
    value: str
    span: str
    whisker: Markup
    remark: str


class CheckRow(NamedTuple):
    label: str
    value: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class AdmissionPage:
    model: str
    report: Mapping[str, Any]
    sources: Sequence[AdmissionInput] = ()
    run_id: str = ""
    code: str = ""  # version and commit
    findings: Sequence[str] = ()  # what a reader of the figures has to know, such as leaks; shown at the top
    left_out: Mapping[str, int] = field(default_factory=dict)  # reason -> rows


def render_admission(admission: AdmissionPage) -> str:
    """One self-contained HTML file."""
    report = admission.report
    measured = not report["not_finite"]
    return templating.render_template(
        "admission.html",
        page=admission,
        headline=HEADLINES[report["verdict"]],
        left_out=left_out_text(admission.left_out),
        refused=report["verdict"] == "refuse",
        figures=_figures(report) if measured else [],
        accuracy_chart=_accuracy_chart(report) if measured else None,
        slice_charts=_slice_charts(report) if measured else [],
        reliability=_reliability(report) if measured else None,
        length_chart=_length_chart(report) if measured else None,
        checks=_checks(report) if measured else [],
    )


def _interval(estimate: Mapping[str, Any]) -> Interval:
    low = -math.inf if estimate["low"] is None else estimate["low"]
    high = math.inf if estimate["high"] is None else estimate["high"]
    return Interval(estimate["value"], low, high, estimate["n"])


def _figures(report: Mapping[str, Any]) -> list[AdmissionFigure]:
    accuracy = _interval(report["accuracy"])
    length = report["baselines"]["length_only"]["value"]
    figures = [
        AdmissionFigure(
            "Accuracy on held-out pairs",
            formatting.percent(accuracy.value),
            formatting.percent_range(accuracy),
            charts.whisker(accuracy, label="Accuracy", reference=length),
            f"{formatting.count(accuracy.n, 'pair')} from {formatting.count(report['prompts'], 'prompt')}. "
            "The dashed line is the length-only baseline.",
        )
    ]
    calibration = report["calibration"]
    if calibration["error"] is not None:
        figures.append(
            AdmissionFigure(
                "Calibration error",
                formatting.fixed(calibration["error"], 3),
                "",
                Markup(""),
                "Mean difference between stated and observed probability. "
                f"Chance alone explains up to {formatting.fixed(calibration['chance_error'], 3)}. "
                f"Before temperature scaling, the error was "
                f"{formatting.fixed(calibration['error_before'], 3)}.",
            )
        )
    ceiling = report["ceiling"]
    if ceiling is not None:
        allowed = _interval(ceiling["accuracy"])
        figures.append(
            AdmissionFigure(
                "Share of the ceiling that labels allow",
                formatting.percent(ceiling["reached"]),
                "",
                charts.whisker(allowed, label="Ceiling", reference=accuracy.value, tone="c"),
                f"Two raters agree on {formatting.percent_interval(_interval(ceiling['agreement']))} of "
                f"{formatting.count(allowed.n, 'pair')}, which limits accuracy to about "
                f"{formatting.percent(allowed.value)}. The dashed line is the model.",
            )
        )
    return figures


def _accuracy_chart(report: Mapping[str, Any]) -> Markup:
    rows = [charts.IntervalRow("This reward model", _interval(report["accuracy"]), "a")]
    baselines = [
        (label, report["baselines"][name])
        for name, label in BASELINES
        if report["baselines"][name] is not None
    ]
    rows += [charts.IntervalRow(label, _interval(estimate), "plain") for label, estimate in baselines]
    return charts.intervals(
        rows,
        title="Share of pairs ordered as raters ordered them",
        as_percent=True,
        reference=0.5,
        note="Dashed line: chance.",
    )


def _slice_charts(report: Mapping[str, Any]) -> list[Markup]:
    slice_charts = []
    for kind, title in KINDS:
        rows = [
            charts.IntervalRow(
                f"{_shortened(part['name'])} ({part['accuracy']['n']})", _interval(part["accuracy"])
            )
            for part in report["slices"]
            if part["by"] == kind
        ]
        if rows:
            slice_charts.append(
                charts.intervals(
                    rows,
                    title=title,
                    unit="accuracy",
                    as_percent=True,
                    reference=0.5,
                    note="Number of pairs in parentheses.",
                )
            )
    return slice_charts


def _shortened(name: str) -> str:
    """A name that fits beside its figures on a phone."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _reliability(report: Mapping[str, Any]) -> Markup | None:
    bins = report["calibration"]["bins"]
    if not bins:
        return None
    curve = charts.Series(
        "observed",
        [(bin_["confidence"], bin_["right"]) for bin_ in bins],
        [(bin_["confidence"], bin_["low"], bin_["high"]) for bin_ in bins],
    )
    ideal = charts.Series("as stated", [(0.5, 0.5), (1.0, 1.0)])
    note = (
        "Every dot stands for the same number of pairs. The band is the 95 % interval; "
        "for a calibrated model it contains the straight line."
    )
    return charts.line(
        [curve, ideal], title="Observed accuracy by stated probability", note=note, x_label="stated"
    )


def _length_chart(report: Mapping[str, Any]) -> Markup:
    rows = [
        charts.IntervalRow(label, _interval(report["length"][name]))
        for name, label in LENGTHS
        if report["length"][name] is not None
    ]
    return charts.intervals(
        rows,
        title="Correlation with length",
        note="The last row is the correlation that remains given the raters' choice.",
    )


def _checks(report: Mapping[str, Any]) -> list[CheckRow]:
    batches, head, ensemble = report["batches"], report["head"], report["ensemble"]
    rows = [
        CheckRow(
            "The same row alone, in a batch, and in another order",
            f"{formatting.number(batches['gap'])} of the spread",
            "should be rounding error only",
        )
    ]
    if head is not None:
        rows.append(
            CheckRow(
                "Saved and loaded again",
                f"{formatting.number(head['gap'])} of the spread",
                "should be rounding error only",
            )
        )
        rows.append(
            CheckRow(
                "Change of the head during training",
                formatting.percent(head["moved"]),
                "of its norm; 0 means that the head was never trained",
            )
        )
    if ensemble is not None:
        rows.append(
            CheckRow(
                "Ensemble members disagree on the order of",
                formatting.percent_interval(_interval(ensemble["disagree"])),
                "of the pairs",
            )
        )
        rows.append(
            CheckRow(
                "Spread of the members' scores",
                formatting.number(ensemble["spread"]["value"]),
                "standard deviations, on average",
            )
        )
    if report["calibration"]["temperature"] is not None:
        rows.append(
            CheckRow(
                "Temperature",
                formatting.number(report["calibration"]["temperature"]),
                f"a difference of {'' if ensemble is None else 'mean '}scores, divided by it, is a log-odds",
            )
        )
    if report["dropped"]:
        rows.append(
            CheckRow("Pairs left out", formatting.number(report["dropped"]), "too long for the model")
        )
    return rows
