import re

from fairlead.report.admission_page import render_admission
from report import fixtures


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def test_the_page_says_the_verdict_the_reasons_and_the_evidence() -> None:
    said = plain(render_admission(fixtures.admission_page()))
    for expected in (
        "may pay a policy, with care",
        "admit with warnings",
        "It rewards longer answers",
        "Bag of words",
        "Position only",
        "Saved and read again",
        "Members disagree",
        "a difference of mean scores divided by it",
        "Not measured",
        "reward-model/reward",
    ):
        assert expected in said


def test_a_model_without_numbers_has_a_page() -> None:
    report = {
        "verdict": "refuse",
        "reasons": ["12 scores are not finite."],
        "warnings": ["The model was examined on only 3 prompts."],
        "not_finite": 12,
        "not_measured": ["everything that needs scores"],
    }
    said = plain(render_admission(fixtures.admission_page(report=report)))
    assert "should not pay a policy" in said
    assert "Reasons for refusal: 12 scores" in said
    assert "Other warnings: The model was examined on only 3 prompts." in said


def test_what_was_not_measured_is_left_out() -> None:
    report = fixtures.ADMISSION | {"head": None, "ensemble": None, "ceiling": None, "slices": []}
    report |= {"calibration": report["calibration"] | {"error": None, "bins": [], "temperature": None}}
    report |= {"baselines": report["baselines"] | {"position_only": None}, "warnings": [], "verdict": "admit"}
    report |= {"length": dict.fromkeys(("all_answers", "inside_pairs", "given_choice"))}
    said = plain(render_admission(fixtures.admission_page(report=report, sources=())))
    assert (
        "Position only" not in said
        and "Members disagree" not in said
        and "All available checks passed" in said
    )


def test_names_from_files_are_text() -> None:
    html = render_admission(fixtures.admission_page(model=fixtures.HOSTILE))
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
