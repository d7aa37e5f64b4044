"""The page of one run: what it did, on what, how it went, what came out and what it cost.

It reads nothing: the caller brings the metrics, the events and the lineage as plain data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from fairlead.core.plural import left_out_text
from fairlead.report import charts, formatting, metric_charts, templating

# The tiles at the top, as far as the run logged them: most telling first, the first that exists of each line.
TILES = (
    ("probe",),
    ("reward",),
    ("held_out_accuracy", "accuracy"),
    ("held_out_loss", "loss"),
    ("kl", "kl_k3"),
    ("margin",),
    ("response_tokens",),
    ("grad_norm",),
)
MOST_TILES = 4
MOST_EVENTS = 200  # a run that was resumed for weeks has thousands; the first and the last are shown


class RunInput(NamedTuple):
    role: str
    name: str
    digest: str


class SamplePair(NamedTuple):
    prompt: str
    before: str
    after: str


class Refusal(NamedTuple):
    """Refusal("The admission report refuses this reward model.", ["No better than length."])"""

    sentence: str  # who is refused, and by whom
    reasons: Sequence[str] = ()


class Comparison(NamedTuple):
    """The win rate of a model against another."""

    label: str  # the evaluation, as "kind/name"
    verdict: str
    remarks: Sequence[str]  # what weakens the verdict, what was left out, leaks
    judge: str
    prompts: str  # the prompts that both models answered


class Tile(NamedTuple):
    label: str
    value: str
    remark: str
    spark: Markup


class EventRow(NamedTuple):
    at: str
    event: str
    details: str


@dataclass(frozen=True, kw_only=True)
class RunPage:
    title: str
    recipe: str
    run_id: str
    metrics: Sequence[Mapping[str, Any]]  # rows of metrics.jsonl, each with "step"
    config: Mapping[str, Any]  # resolved
    inputs: Sequence[RunInput] = ()
    artifact: str | None = None  # what it made, as "kind/name"; None while it runs
    artifact_digest: str | None = None
    lineage_text: str = ""  # an indented tree
    cost: Mapping[str, str] = field(default_factory=dict)  # label -> text
    events: Sequence[Mapping[str, Any]] = ()  # rows of events.jsonl: "at", "event", anything else
    samples: Sequence[SamplePair] = ()
    code: str = ""  # version and commit
    refusals: Sequence[Refusal] = ()  # of the result, or of a reward of the run; shown at the top
    comparisons: Sequence[Comparison] = ()  # of the model or of the run itself, newest first; at the top
    more_comparisons: int = 0  # older ones, which are not shown
    left_out: Mapping[str, int] = field(default_factory=dict)  # reason -> rows


def render_run(run: RunPage) -> str:
    """One HTML file, complete in itself."""
    return templating.render_template(
        "run.html",
        run=run,
        left_out=left_out_text(run.left_out),
        tiles=_tiles(run.metrics),
        curves=metric_charts.draw_metric_charts(run.metrics),
        config=templating.config_groups(run.config),
        events=_event_rows(run.events),
        steps=len({row["step"] for row in run.metrics if "step" in row}),
    )


def _tiles(metrics: Sequence[Mapping[str, Any]]) -> list[Tile]:
    tiles = []
    for names in TILES:
        name = next((name for name in names if metric_charts.metric_values(metrics, name)), None)
        if name is not None:
            values = metric_charts.metric_values(metrics, name)
            label = metric_charts.metric_title(name)
            remark = f"from {formatting.number(values[0])}" if len(values) > 1 else "one value"
            tiles.append(
                Tile(
                    label,
                    formatting.number(values[-1]),
                    remark,
                    charts.sparkline(values, label=f"{label} over the run"),
                )
            )
    return tiles[:MOST_TILES]


def _event_rows(events: Sequence[Mapping[str, Any]]) -> list[EventRow]:
    rows = []
    for event in events:
        details = ", ".join(
            f"{key} {value}"
            for key, value in event.items()
            if key not in ("at", "event") and value is not None and value != ""
        )
        at = str(event.get("at", "")).replace("T", " ").replace("+00:00", " UTC")
        rows.append(EventRow(at, str(event.get("event", "")), details))
    if len(rows) > MOST_EVENTS:
        left_out = len(rows) - MOST_EVENTS
        half = MOST_EVENTS // 2
        rows = [
            *rows[:half],
            EventRow("", "…", f"{formatting.count(left_out, 'event')} not shown"),
            *rows[-half:],
        ]
    return rows
