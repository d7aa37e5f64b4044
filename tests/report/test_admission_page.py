import re

from fairlead.report.admission_page import render_admission
from report import fixtures


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def test_the_page_shows_verdict_reasons_and_evidence() -> None:
    text = plain(render_admission(fixtures.admission_page()))
    for expected in (
        "may be used as a reward, with care",
        "admit with warnings",
        "It rewards longer answers",
        "Bag of words",
        "Position only",
        "Saved and loaded again",
        "Ensemble members disagree",
        "a difference of mean scores, divided by it",
        "Not measured",
        "reward-model/reward",
    ):
        assert expected in text


def test_a_model_without_numbers_has_a_page() -> None:
    report = {
        "verdict": "refuse",
        "reasons": ["12 scores are not finite."],
        "warnings": ["The model was examined on only 3 prompts."],
        "not_finite": 12,
        "not_measured": ["everything that needs scores"],
    }
    text = plain(render_admission(fixtures.admission_page(report=report)))
    assert "should not be used as a reward" in text
    assert "Reasons for refusal: 12 scores" in text
    assert "Other warnings: The model was examined on only 3 prompts." in text


def test_what_was_not_measured_is_left_out() -> None:
    report = fixtures.ADMISSION | {"head": None, "ensemble": None, "ceiling": None, "slices": []}
    report |= {"calibration": report["calibration"] | {"error": None, "bins": [], "temperature": None}}
    report |= {"baselines": report["baselines"] | {"position_only": None}, "warnings": [], "verdict": "admit"}
    report |= {"length": dict.fromkeys(("all_answers", "inside_pairs", "given_choice"))}
    text = plain(render_admission(fixtures.admission_page(report=report, sources=())))
    assert (
        "Position only" not in text
        and "Ensemble members disagree" not in text
        and "All available checks passed" in text
    )


def test_leaks_stand_above_the_figures() -> None:
    page = fixtures.admission_page(
        left_out={"pairs seen in training": 1, "ties": 2}, findings=["Seen in training: 1 of 9 rows."]
    )
    html = render_admission(page)
    for text in ("Left out: 1 pair seen in training, 2 ties.", "Seen in training: 1 of 9 rows."):
        assert html.index(text) < html.index('class="figures"')


def test_names_from_files_are_text() -> None:
    html = render_admission(fixtures.admission_page(model=fixtures.HOSTILE))
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
