"""What the metrics of the recipes mean to a reader: title, unit, what to look for, and which belong in one
chart.

A name that is not known here still gets its chart, titled with the name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from fairlead.report import charts


class MetricChart(NamedTuple):
    """One chart: its metrics (name -> label in the legend) and how to read it."""

    title: str
    unit: str
    look_for: str
    metrics: Mapping[str, str]


# In the order of the page: is it getting better, is it still honest, is the optimiser healthy.
METRIC_CHARTS = (
    MetricChart(
        "Reward",
        "",
        "The proxy the policy is paid by. It should rise and level off; compare it with the probe.",
        {"reward": "Reward"},
    ),
    MetricChart("Proxy score", "", "The reward model's score before any penalty.", {"score": "Score"}),
    MetricChart(
        "Disagreement of the reward models",
        "",
        "How far the members of the ensemble lie apart. Growth means that the policy has gone where "
        "none of them learned.",
        {"score_std": "Deviation"},
    ),
    MetricChart(
        "Probe",
        "",
        "A second judge that is measured and never trained on. If it falls while the reward rises, the "
        "policy exploits the reward.",
        {"probe": "Probe"},
    ),
    MetricChart(
        "Loss",
        "nats",
        "Both should fall together. Held-out turning up while training falls means memorising: stop there.",
        {"loss": "training", "held_out_loss": "held-out"},
    ),
    MetricChart(
        "Accuracy",
        "share of pairs",
        "How often the chosen answer is ranked first; one half is guessing. A widening gap to held-out "
        "is memorising.",
        {"accuracy": "training", "held_out_accuracy": "held-out"},
    ),
    MetricChart(
        "KL divergence",
        "nats per answer",
        "How far the policy is from its reference: the price of the reward. A climb without a gain in "
        "the probe is over-optimisation.",
        {"kl": "mean", "kl_k3": "k3 estimate"},
    ),
    MetricChart(
        "KL coefficient",
        "",
        "What a nat of KL costs. An adaptive controller moves it to hold the KL at its target.",
        {"kl_coef": "Coefficient"},
    ),
    MetricChart(
        "Answer length",
        "tokens",
        "Growth without a rise in the probe means that the reward pays for length.",
        {"response_tokens": "Length"},
    ),
    MetricChart(
        "Finished answers",
        "share",
        "Answers that ended by themselves. Below one, the rest were cut at the token limit.",
        {"finished_frac": "Finished"},
    ),
    MetricChart(
        "Entropy",
        "nats per token",
        "How varied the sampling still is. A fall to zero means one answer for everything.",
        {"entropy": "Entropy"},
    ),
    MetricChart(
        "Margin",
        "",
        "How far apart chosen and rejected are. It should grow, slowly; a sudden jump is memorising.",
        {"margin": "Margin"},
    ),
    MetricChart(
        "Log-probability of the answers",
        "nats per answer",
        "The gap should open. Both falling is common with DPO; chosen falling far means the model is "
        "forgetting good answers.",
        {"chosen_logps": "chosen", "rejected_logps": "rejected"},
    ),
    MetricChart(
        "Log-ratio of the answers to the reference",
        "nats per answer",
        "How far training has moved them. Chosen should end above rejected; both far below zero means "
        "that good answers are unlearned too.",
        {"chosen_logratio": "chosen", "rejected_logratio": "rejected"},
    ),
    MetricChart(
        "Log-ratio of the answers to the reference, by label",
        "nats per answer",
        "Good answers should rise above the reference point and bad ones fall below it.",
        {"desirable_logratio": "good", "undesirable_logratio": "bad", "reference_point": "reference point"},
    ),
    MetricChart(
        "Log-ratio of demonstrations to the reference",
        "nats per answer",
        "It should rise: demonstrations are what the model is to say. A fall means that the rest of "
        "the mix pushes them down.",
        {"demonstration_logratio": "Log-ratio"},
    ),
    MetricChart(
        "Loss by kind of row",
        "",
        "Each kind before it is weighed. One that stays where it began is drowned by the others: raise "
        "its weight.",
        {
            "demonstration_loss": "demonstrations",
            "comparison_loss": "comparisons",
            "binary_loss": "thumbs",
            "rating_loss": "ratings",
        },
    ),
    MetricChart(
        "Loss on demonstrations",
        "nats per token",
        "Logged at steps on demonstrations only. It should fall; held-out turning up means memorising.",
        {"sft_loss": "training", "held_out_sft_loss": "held-out"},
    ),
    MetricChart(
        "Loss on comparisons",
        "nats",
        "Logged at steps on comparisons only. It starts at log 2 and should fall slowly.",
        {"dpo_loss": "training", "held_out_dpo_loss": "held-out"},
    ),
    MetricChart(
        "Policy loss",
        "",
        "Hovers near zero; its size says little. Spikes together with clipping do.",
        {"policy_loss": "Policy loss"},
    ),
    MetricChart(
        "Value loss",
        "",
        "Should fall as the critic learns what answers are worth.",
        {"value_loss": "Value loss"},
    ),
    MetricChart(
        "Explained variance",
        "share",
        "How much of the returns the critic foresees. It should rise towards one; below zero it does harm.",
        {"explained_variance": "Explained variance"},
    ),
    MetricChart(
        "Loss of the mixed-in rows",
        "nats per token",
        "What these rows teach should not be lost: steady or falling.",
        {"ptx_loss": "Loss"},
    ),
    MetricChart(
        "First ratio",
        "",
        "Of the policy that learns to the one that sampled, before any step: it should be one.",
        {"ratio": "Ratio"},
    ),
    MetricChart(
        "Clipped tokens",
        "share",
        "Tokens whose update hit the clip range. Under about 0.2 is healthy.",
        {"clip_frac": "Clipped"},
    ),
    MetricChart(
        "Step of the policy",
        "nats per token",
        "KL between sampler and updated policy within a step. It should stay small.",
        {"approx_kl": "KL"},
    ),
    MetricChart(
        "Gradient norm",
        "",
        "Before clipping. Spikes are bad batches; steady growth is a rate that is too high.",
        {"grad_norm": "Norm"},
    ),
    MetricChart("Learning rate", "", "The schedule, as it was applied.", {"lr": "Rate"}),
)


def draw_metric_charts(
    rows: Sequence[Mapping[str, Any]], *, only: Sequence[str] | None = None, prefix: str = ""
) -> list[Markup]:
    """A chart for each topic that has numbers in `rows` (each with "step"), then for each unknown metric.

    `only` names one metric of each topic that is wanted, in the wanted order.
    """
    series = _series(rows)
    known = {name for topic in METRIC_CHARTS for name in topic.metrics}
    topics = [topic for topic in METRIC_CHARTS if any(name in series for name in topic.metrics)]
    topics += [MetricChart(name, "", "", {name: name}) for name in series if name not in known]
    if only is not None:
        topics = [topic for wanted in only for topic in topics if wanted in topic.metrics]
    return [_curve(topic, series, prefix) for topic in topics]


def last_value(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The most recent value of a metric, or None where it was never logged."""
    points = _series(rows).get(name, [])
    return points[-1][1] if points else None


def metric_values(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [value for _, value in _series(rows).get(name, [])]


def metric_title(name: str) -> str:
    """A metric's own title: that of its topic, with its label where the topic holds two."""
    for topic in METRIC_CHARTS:
        if name in topic.metrics:
            return topic.title if len(topic.metrics) == 1 else f"{topic.title}, {topic.metrics[name]}"
    return name


def _curve(topic: MetricChart, series: Mapping[str, list[charts.Point]], prefix: str) -> Markup:
    present = {name: label for name, label in topic.metrics.items() if name in series}
    lines = [charts.Series(label, series[name]) for name, label in present.items()]
    # A topic of two of which one was logged still says which one it is.
    title = prefix + (
        topic.title
        if len(present) == len(topic.metrics)
        else f"{topic.title}, {next(iter(present.values()))}"
    )
    return charts.line(lines, title=title, unit=topic.unit, note=topic.look_for)


def _series(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[charts.Point]]:
    """Metric -> its points by step; what is not a number (a name, a flag, a gap) is no metric."""
    series: dict[str, list[charts.Point]] = {}
    for row in rows:
        step = row.get("step")
        if not isinstance(step, int | float):
            continue
        for name, value in row.items():
            if name != "step" and _is_number(value):
                series.setdefault(name, []).append((float(step), float(value)))
    # A metric with no finite value keeps its chart: charts.line says "no data".
    return {name: sorted(points, key=lambda point: point[0]) for name, points in series.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
