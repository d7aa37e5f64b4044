"""The page of an admission report: the verdict with its reasons and warnings, and the evidence that it was made from.

It judges nothing and measures nothing: the report, as `admission.json` has it, comes from the caller.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

from fairlead.report import charts, formatting, templating
from fairlead.stats.interval import Interval

HEADLINES = {
    "admit": "may pay a policy",
    "admit with warnings": "may pay a policy, with care",
    "refuse": "should not pay a policy",
}
BASELINES = (
    ("bag_of_words", "Bag of words"),
    ("length_only", "Length only"),
    ("position_only", "Position only"),
)
KINDS = (
    ("margin", "How much better people called it"),
    ("length", "Length of the chosen answer"),
    ("rater", "Rater"),
    ("tag", "Tag"),
)
LENGTHS = (
    ("all_answers", "score and length, all answers"),
    ("inside_pairs", "differences inside pairs"),
    ("given_choice", "inside pairs, beyond the choice"),
)

MOST_OF_A_NAME = 16  # characters


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


def render_admission(admission: AdmissionPage) -> str:
    """One HTML file, complete in itself."""
    report = admission.report
    measured = not report["not_finite"]
    return templating.render_template(
        "admission.html",
        page=admission,
        headline=HEADLINES[report["verdict"]],
        refused=report["verdict"] == "refuse",
        figures=_figures(report) if measured else [],
        accuracy_chart=_accuracy_chart(report) if measured else None,
        slice_charts=_slice_charts(report) if measured else [],
        reliability=_reliability(report) if measured else None,
        length_chart=_length_chart(report) if measured else None,
        checks=_checks(report) if measured else [],
    )


def _interval(one: Mapping[str, Any]) -> Interval:
    low, high = (
        -math.inf if one["low"] is None else one["low"],
        math.inf if one["high"] is None else one["high"],
    )
    return Interval(one["value"], low, high, one["n"])


def _figures(report: Mapping[str, Any]) -> list[AdmissionFigure]:
    accuracy = _interval(report["accuracy"])
    length = report["baselines"]["length_only"]["value"]
    found = [
        AdmissionFigure(
            "Accuracy on pairs it never saw",
            formatting.percent(accuracy.value),
            formatting.percent_range(accuracy),
            charts.whisker(accuracy, label="Accuracy", reference=length),
            f"{formatting.count(accuracy.n, 'pair')} of {formatting.count(report['prompts'], 'prompt')}. The dashed line is length alone.",
        )
    ]
    fitted = report["calibration"]
    if fitted["error"] is not None:
        found.append(
            AdmissionFigure(
                "Calibration error",
                formatting.fixed(fitted["error"], 3),
                "",
                Markup(""),
                f"Stated against observed probability, on average. Chance alone gives up to {formatting.fixed(fitted['chance_error'], 3)}; "
                f"before a temperature was fitted it was {formatting.fixed(fitted['error_before'], 3)}.",
            )
        )
    ceiling = report["ceiling"]
    if ceiling is not None:
        allowed = _interval(ceiling["accuracy"])
        found.append(
            AdmissionFigure(
                "Of what the labels allow",
                formatting.percent(ceiling["reached"]),
                "",
                charts.whisker(allowed, label="Ceiling", reference=accuracy.value, tone="c"),
                f"Two people agree on {formatting.percent_interval(_interval(ceiling['agreement']))} of {formatting.count(allowed.n, 'pair')}; "
                f"that allows an accuracy of at most about {formatting.percent(allowed.value)}. The dashed line is the model.",
            )
        )
    return found


def _accuracy_chart(report: Mapping[str, Any]) -> Markup:
    rows = [charts.IntervalRow("This reward model", _interval(report["accuracy"]), "a")]
    known = [
        (label, report["baselines"][name])
        for name, label in BASELINES
        if report["baselines"][name] is not None
    ]
    rows += [charts.IntervalRow(label, _interval(one), "plain") for label, one in known]
    return charts.intervals(
        rows,
        title="Share of pairs put in people's order",
        as_percent=True,
        reference=0.5,
        note="Dashed: a coin.",
    )


def _slice_charts(report: Mapping[str, Any]) -> list[Markup]:
    found = []
    for kind, title in KINDS:
        rows = [
            charts.IntervalRow(f"{_cut(one['name'])} ({one['accuracy']['n']})", _interval(one["accuracy"]))
            for one in report["slices"]
            if one["by"] == kind
        ]
        if rows:
            found.append(
                charts.intervals(
                    rows,
                    title=title,
                    unit="accuracy",
                    as_percent=True,
                    reference=0.5,
                    note="In brackets: pairs.",
                )
            )
    return found


def _cut(name: str) -> str:
    """As much of a name as fits beside its figures on a phone."""
    return name if len(name) <= MOST_OF_A_NAME else name[: MOST_OF_A_NAME - 1] + "…"


def _reliability(report: Mapping[str, Any]) -> Markup | None:
    bins = report["calibration"]["bins"]
    if not bins:
        return None
    curve = charts.Series(
        "observed",
        [(one["confidence"], one["right"]) for one in bins],
        [(one["confidence"], one["low"], one["high"]) for one in bins],
    )
    ideal = charts.Series("as stated", [(0.5, 0.5), (1.0, 1.0)])
    note = "Each dot holds as many pairs. The band is the 95 % interval; a calibrated model's holds the straight line."
    return charts.line(
        [curve, ideal], title="How often it is right, by how sure it says it is", note=note, x_label="stated"
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
        note="The last one is what length adds beyond what people chose.",
    )


def _checks(report: Mapping[str, Any]) -> list[CheckRow]:
    batches, head, ensemble = report["batches"], report["head"], report["ensemble"]
    found = [
        CheckRow(
            "Same row alone, in a batch, in another order",
            f"{formatting.number(batches['gap'])} of the spread",
            "should be rounding only",
        )
    ]
    if head is not None:
        found.append(
            CheckRow(
                "Saved and read again",
                f"{formatting.number(head['gap'])} of the spread",
                "should be rounding only",
            )
        )
        found.append(
            CheckRow(
                "Head moved since training began",
                formatting.percent(head["moved"]),
                "of its size; 0 would be a head that never learned",
            )
        )
    if ensemble is not None:
        found.append(
            CheckRow(
                "Members disagree on the order of",
                formatting.percent_interval(_interval(ensemble["disagree"])),
                "of the pairs",
            )
        )
        found.append(
            CheckRow(
                "Members' scores differ by",
                formatting.number(ensemble["spread"]["value"]),
                "standard deviations, on average",
            )
        )
    if report["calibration"]["temperature"] is not None:
        found.append(
            CheckRow(
                "Temperature",
                formatting.number(report["calibration"]["temperature"]),
                f"a difference of {'' if ensemble is None else 'mean '}scores divided by it is a log-odds",
            )
        )
    if report["dropped"]:
        found.append(
            CheckRow("Pairs left out", formatting.number(report["dropped"]), "too long for the model")
        )
    return found
