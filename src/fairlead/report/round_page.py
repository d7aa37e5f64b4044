"""The page of a whole round, from base model to aligned model: the evidence in the order in which a reader
asks for it.

It judges one thing itself: whether the interval of the win rate allows the headline to claim a preference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from fairlead.report import charts, formatting, metric_charts, templating
from fairlead.stats import interval
from fairlead.stats.interval import Interval

STAGES = (
    ("base", "Base"),
    ("sft", "Fine-tuned"),
    ("aligned", "Aligned"),
)  # key in the summary -> name on the page
PPO_CURVES = (
    "reward",
    "probe",
    "kl",
    "response_tokens",
    "entropy",
    "finished_frac",
    "value_loss",
    "explained_variance",
    "kl_coef",
)
ANSWERS_OPEN = 6  # the others are one click away
WORSENED_OPEN = 2  # of those that are open, so that regressions are visible without a click
CHANGES = (
    ("improved", "Alignment improved the answer"),
    ("worsened", "Alignment worsened the answer"),
    ("equal", "Same score before and after alignment"),
)  # change of the gold score -> heading, in the order of the page


class StageSummary(NamedTuple):
    name: str
    sentence: str
    artifact: str
    run_id: str
    seconds: float
    figures: Mapping[str, str]  # label -> text


class StageAnswer(NamedTuple):
    text: str
    gold: float  # 0..1
    faults: Sequence[str] = ()


class AnswerRow(NamedTuple):
    prompt: str
    family: str
    answers: Mapping[str, StageAnswer]  # "base", "sft", "aligned"

    @property
    def change(self) -> str:
        """A key of `CHANGES`: how the gold score changed from the fine-tuned (or base) model to the aligned
        one.
        """
        before = self.answers["sft"] if "sft" in self.answers else self.answers["base"]
        gain = self.answers["aligned"].gold - before.gold
        return "improved" if gain > 0 else "worsened" if gain < 0 else "equal"


class AnswerGroup(NamedTuple):
    title: str
    rows: Sequence[AnswerRow]


class AnswerCounts(NamedTuple):
    """Held-out prompts by the change of the gold score from the fine-tuned to the aligned model."""

    improved: int
    equal: int
    worsened: int


class FamilyRow(NamedTuple):
    name: str
    gold: Mapping[str, float]  # "base", "sft", "aligned" -> mean


class FaultRow(NamedTuple):
    label: str
    shares: Mapping[str, float]  # "base", "sft", "aligned" -> share of the answers, 0..1


@dataclass(frozen=True, kw_only=True)
class RoundPage:
    title: str
    # seconds, peak_rss_mb, reward_model {accuracy, low, high, n, length_only}, gold {base, sft, aligned:
    # {mean, low, high, n}}, win_rate_vs_sft {value, low, high, n}, kl, report
    summary: Mapping[str, Any]
    stages: Sequence[StageSummary] = ()
    ppo_metrics: Sequence[Mapping[str, Any]] = ()
    sft_metrics: Sequence[Mapping[str, Any]] = ()
    reward_metrics: Sequence[Mapping[str, Any]] = ()
    families: Sequence[FamilyRow] = ()
    faults: Sequence[FaultRow] = ()
    answers: Sequence[AnswerRow] = ()  # examples, the most telling first
    answer_counts: AnswerCounts | None = None  # over all held-out prompts
    bag_of_words: Interval | None = None  # accuracy of the second baseline, where it was measured
    lineage_text: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)  # of one level, or stage -> its configuration
    cost: Mapping[str, str] = field(default_factory=dict)  # label -> text
    environment: Mapping[str, str] = field(default_factory=dict)  # name -> version
    judge: str = "Simulated judges"  # who compared the answers, as the subject of the headline


class Headline(NamedTuple):
    before: str
    figure: str  # set in the accent colour
    after: str


class RoundFigure(NamedTuple):
    label: str
    value: str
    span: str
    remark: str
    whisker: Markup


def render_round(round: RoundPage) -> str:
    """One HTML file, complete in itself."""
    win_rate = _interval(round.summary["win_rate_vs_sft"], "value")
    gold = {key: _interval(round.summary["gold"][key], "mean") for key, _ in STAGES}
    accuracy = _interval(round.summary["reward_model"], "accuracy")
    length_only = _length_only(round.summary["reward_model"])
    open_rows = _open_rows(round.answers)
    return templating.render_template(
        "round.html",
        round=round,
        stages=STAGES,
        headline=headline(win_rate, round.judge),
        gold=gold,
        figures=_figures(win_rate, gold, accuracy, length_only),
        gold_chart=charts.intervals(
            [charts.IntervalRow(name, gold[key], key) for key, name in STAGES],
            title="Gold score by stage",
            unit=f"mean over {formatting.count(gold['aligned'].n, 'prompt')}, 0 to 1",
            note="Whiskers are 95 % intervals; they cover the choice of prompts.",
        ),
        family_chart=charts.dots(
            [charts.ValueGroup(row.name, row.gold) for row in round.families],
            STAGES,
            title="Gold score by kind of prompt",
            unit="mean, 0 to 1",
        ),
        fault_chart=charts.bars(
            [charts.ValueGroup(row.label, row.shares) for row in round.faults],
            STAGES,
            title="How often each fault occurs",
            unit="share of answers; shorter is better",
        ),
        reward_chart=_reward_chart(accuracy, length_only, round.bag_of_words),
        reward_sentence=_reward_sentence(accuracy, length_only),
        ppo_curves=metric_charts.draw_metric_charts(round.ppo_metrics, only=PPO_CURVES),
        earlier_curves=[
            *metric_charts.draw_metric_charts(
                round.sft_metrics, only=("loss", "grad_norm"), prefix="Fine-tuning: "
            ),
            *metric_charts.draw_metric_charts(round.reward_metrics, only=("loss",), prefix="Reward model: "),
        ],
        accuracy_curves=metric_charts.draw_metric_charts(round.reward_metrics, only=("accuracy", "margin")),
        open_answers=_grouped(open_rows),
        more_answers=_grouped([row for row in round.answers if row not in open_rows]),
        num_more=len(round.answers) - len(open_rows),
        config=templating.config_groups(round.config),
    )


def _open_rows(rows: Sequence[AnswerRow]) -> list[AnswerRow]:
    """Improved answers and a few worsened ones; others only where these do not fill the page."""
    worsened = [row for row in rows if row.change == "worsened"][:WORSENED_OPEN]
    improved = [row for row in rows if row.change == "improved"][: ANSWERS_OPEN - len(worsened)]
    others = [row for row in rows if row not in improved and row not in worsened]
    return [*improved, *worsened, *others[: ANSWERS_OPEN - len(improved) - len(worsened)]]


def _grouped(rows: Sequence[AnswerRow]) -> list[AnswerGroup]:
    groups = [AnswerGroup(title, [row for row in rows if row.change == change]) for change, title in CHANGES]
    return [group for group in groups if group.rows]


def headline(win_rate: Interval, judge: str) -> Headline:
    """The result in one sentence, claiming no more than the interval allows."""
    figure = formatting.percent_interval(win_rate)
    prompts = formatting.count(win_rate.n, "prompt")
    if win_rate.low > 0.5:
        return Headline(f"{judge} preferred the aligned model’s answer in ", figure, f" of {prompts}.")
    if win_rate.high < 0.5:
        return Headline(
            f"{judge} preferred the fine-tuned model: the aligned one won only ", figure, f" of {prompts}."
        )
    return Headline(
        f"{judge} showed no clear preference: the aligned model’s answer won ", figure, f" of {prompts}."
    )


def _figures(
    win_rate: Interval, gold: Mapping[str, Interval], accuracy: Interval, length_only: Interval
) -> list[RoundFigure]:
    base, sft, aligned = gold["base"], gold["sft"], gold["aligned"]
    return [
        RoundFigure(
            "Win rate against the fine-tuned model",
            formatting.percent(win_rate.value),
            formatting.percent_range(win_rate),
            f"Same {formatting.count(win_rate.n, 'prompt')}, ties count half; "
            f"50{formatting.NARROW_SPACE}% would be no difference.",
            charts.whisker(win_rate, reference=0.5, label="Win rate", tone="aligned"),
        ),
        RoundFigure(
            "Gold score of the aligned model",
            formatting.fixed(aligned.value),
            formatting.fixed_range(aligned),
            f"Out of 1. The base model scored {formatting.fixed(base.value)}, the fine-tuned one "
            f"{formatting.fixed(sft.value)}.",
            charts.whisker(aligned, reference=sft.value, label="Gold score", tone="aligned"),
        ),
        RoundFigure(
            "Reward model, held-out accuracy",
            formatting.percent(accuracy.value),
            formatting.percent_range(accuracy),
            f"Of {formatting.count(accuracy.n, 'comparison')} it never saw; length alone gets "
            f"{formatting.percent(length_only.value)}.",
            charts.whisker(accuracy, reference=length_only.value, label="Held-out accuracy", tone="a"),
        ),
    ]


def _reward_chart(accuracy: Interval, length_only: Interval, bag_of_words: Interval | None) -> Markup:
    rows = [charts.IntervalRow("Reward model", accuracy, "a")]
    if bag_of_words is not None:
        rows.append(charts.IntervalRow("Bag of words", bag_of_words, "plain"))
    rows.append(charts.IntervalRow("Length only", length_only, "plain"))
    return charts.intervals(
        rows,
        title="Accuracy on held-out comparisons",
        unit="share ranked as the simulated people did",
        as_percent=True,
        reference=0.5,
        note=f"Dashed: guessing. The same {formatting.count(accuracy.n, 'comparison')} for every row.",
    )


def _reward_sentence(accuracy: Interval, length_only: Interval) -> str:
    if accuracy.low > length_only.high:
        return "It learned more than to count characters: the two intervals do not meet."
    if accuracy.value > length_only.value:
        return "It is ahead of counting characters, but the intervals meet: more comparisons would settle it."
    return "It is no better than counting characters: treat every reward on this page with suspicion."


def _interval(values: Mapping[str, Any], estimate: str) -> Interval:
    return Interval(float(values[estimate]), float(values["low"]), float(values["high"]), int(values["n"]))


def _length_only(values: Mapping[str, Any]) -> Interval:
    n = int(values["n"])
    return interval.proportion(float(values["length_only"]) * n, n)
