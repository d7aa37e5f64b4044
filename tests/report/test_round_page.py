import copy
import re
from typing import Any

import pytest

from fairlead.report.round_page import (
    CHANGES,
    AnswerCounts,
    AnswerRow,
    RoundPage,
    StageAnswer,
    headline,
    render_round,
)
from fairlead.stats.interval import Interval
from report import fixtures


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", html)).replace("\u202f", " ")


def summary(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(fixtures.SUMMARY) | changes


def test_the_headline_is_one_sentence_with_the_number_and_its_interval() -> None:
    said = plain(render_round(fixtures.round_page()))
    assert "Simulated judges preferred the aligned model’s answer in 84 % [79, 88] of 300 prompts." in said


@pytest.mark.parametrize(
    ("value", "low", "high", "claim"),
    [
        (0.84, 0.79, 0.88, "preferred the aligned model’s answer in"),
        (0.53, 0.47, 0.59, "showed no clear preference"),
        (0.31, 0.26, 0.37, "preferred the fine-tuned model"),
        (0.55, 0.5, 0.6, "showed no clear preference"),
    ],
)
def test_the_headline_claims_no_more_than_the_interval_allows(
    value: float, low: float, high: float, claim: str
) -> None:
    assert claim in headline(Interval(value, low, high, 300), "Judges").before


def test_the_gold_scores_are_told_in_order_without_a_claim_of_progress() -> None:
    said = plain(render_round(fixtures.round_page()))
    assert (
        "The average is 0.47 for the base model, 0.69 for the fine-tuned model and 0.85 for the "
        "aligned model." in said
    )
    assert "rose" not in said


def test_sections_come_in_the_order_of_a_readers_questions() -> None:
    html = render_round(fixtures.round_page())
    order = ["answers", "gold", "faults", "training", "reward", "made", "lineage", "config", "cost", "limits"]
    assert re.findall(r'<section id="(\w+)"', html) == order
    assert re.findall(r'<a href="#(\w+)"', html) == order


def test_the_page_says_that_nobody_real_was_asked() -> None:
    said = plain(render_round(fixtures.round_page()))
    assert "Simulated raters." in said and "The raters in this report are simulated." in said


def test_the_three_figures_come_from_the_summary() -> None:
    html = render_round(fixtures.round_page())
    shown = [plain(found) for found in re.findall(r'<p class="value"><b>(.*?)</b>', html)]
    assert shown == ["84 %", "0.85", "79 %"]


@pytest.mark.parametrize(
    ("accuracy", "low", "high", "verdict"),
    [
        (0.79, 0.75, 0.82, "the two intervals do not meet"),
        (0.60, 0.56, 0.64, "more comparisons would settle it"),
        (0.55, 0.51, 0.59, "treat every reward on this page with suspicion"),
    ],
)
def test_the_reward_model_is_judged_beside_length_alone(
    accuracy: float, low: float, high: float, verdict: str
) -> None:
    reward = {"accuracy": accuracy, "low": low, "high": high, "n": 500, "length_only": 0.558}
    assert verdict in plain(render_round(fixtures.round_page(summary=summary(reward_model=reward))))


def test_model_output_is_text() -> None:
    html = render_round(
        fixtures.round_page(
            title=fixtures.HOSTILE, lineage_text=fixtures.HOSTILE, environment={"a": fixtures.HOSTILE}
        )
    )
    assert "<script" not in html and "<img" not in html and "<b>made</b>" not in html
    assert "&lt;script&gt;" in html and "&lt;b&gt;made&lt;/b&gt; no sense" in html


def test_answers_after_the_first_six_are_behind_a_click() -> None:
    html = render_round(fixtures.round_page())
    assert "Show 2 more prompts" in html
    assert html.count('<article class="answer-row">') == len(fixtures.ANSWERS)
    assert "<details>" not in render_round(fixtures.round_page(answers=fixtures.ANSWERS[:6]))


def row(prompt: str, sft: float, aligned: float) -> AnswerRow:
    answers = {
        "base": StageAnswer("a", 0.5),
        "sft": StageAnswer("b", sft),
        "aligned": StageAnswer("c", aligned),
    }
    return AnswerRow(prompt, "fact", answers)


def test_improvements_come_before_regressions_which_are_labelled() -> None:
    answers = [row("prompt W", 1.0, 0.85), row("prompt E", 0.9, 0.9), row("prompt I", 0.3, 1.0)]
    counts = AnswerCounts(improved=120, equal=305, worsened=23)
    html = plain(render_round(fixtures.round_page(answers=answers, answer_counts=counts)))
    titles = [title for _, title in CHANGES]
    places = [
        html.index(text) for text in (titles[0], "prompt I", titles[1], "prompt W", titles[2], "prompt E")
    ]
    assert places == sorted(places)
    sentence = "improved the answer to 120 held-out prompts, worsened 23 and left the score of 305 unchanged."
    assert f"{sentence} The examples" in html


def test_regressions_are_visible_without_a_click_however_many_improvements_there_are() -> None:
    answers = [*[row(f"better {n}", 0.3, 1.0) for n in range(20)], row("worse", 1.0, 0.85)]
    html = render_round(fixtures.round_page(answers=answers))
    assert html.index(">worse<") < html.index("<details>")


def test_a_round_with_nothing_but_its_summary_has_a_page() -> None:
    said = plain(render_round(RoundPage(title="Bare", summary=fixtures.SUMMARY)))
    assert (
        "No answers were recorded." in said
        and "No metrics were logged." in said
        and "not recorded" in said
        and "no data" in said
    )


def test_the_same_data_gives_the_same_page() -> None:
    assert render_round(fixtures.round_page()) == render_round(fixtures.round_page())
