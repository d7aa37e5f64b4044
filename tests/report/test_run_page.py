import dataclasses
import re

from fairlead.report.run_page import MOST_EVENTS, Comparison, Refusal, RunPage, render_run
from report import fixtures


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def test_the_page_says_what_the_run_did_on_what_and_what_came_out() -> None:
    said = plain(render_run(fixtures.run_page()))
    for expected in (
        "ppo-aligned-5b2f90e411",
        "120 logged steps",
        "model/aligned",
        "b8d12c00f4",
        "kl_target",
        "2 min 19 s",
        "e475f79",
    ):
        assert expected in said


def test_a_run_that_has_logged_nothing_has_a_page() -> None:
    said = plain(render_run(RunPage(title="Early", recipe="sft", run_id="sft-x", metrics=[], config={})))
    assert "No metrics logged yet." in said and "No output artifact yet." in said and "No inputs." in said


def test_model_output_is_text() -> None:
    html = render_run(
        fixtures.run_page(
            title=fixtures.HOSTILE, lineage_text=fixtures.HOSTILE, config={"a": fixtures.HOSTILE}
        )
    )
    assert "<script" not in html and "<img" not in html
    assert "&lt;script&gt;" in html
    assert "\x07" not in html and "\u202e" not in html


def test_the_page_forbids_itself_to_load_anything() -> None:
    html = render_run(fixtures.run_page())
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert "url(" not in html and "@import" not in html


def test_at_most_one_tile_per_question() -> None:
    rows = [
        {"step": 1, "loss": 2.0, "held_out_loss": 2.5, "kl": 1.0, "kl_k3": 1.0},
        {"step": 2, "loss": 1.0, "held_out_loss": 1.5},
    ]
    html = render_run(fixtures.run_page(metrics=rows))
    assert re.findall(r'<p class="label">(.*?)</p>', html) == ["Loss, held-out", "KL divergence, mean"]


def test_many_events_are_cut_in_the_middle_and_counted() -> None:
    events = [{"at": "t", "event": f"e{index}"} for index in range(MOST_EVENTS + 7)]
    html = render_run(fixtures.run_page(events=events))
    assert "7 events not shown" in html
    assert (
        "<td>e0</td>" in html
        and f"<td>e{MOST_EVENTS + 6}</td>" in html
        and f"<td>e{MOST_EVENTS // 2 + 3}</td>" not in html
    )


def test_a_refusal_and_what_was_left_out_stand_above_the_figures() -> None:
    refusal = Refusal("The admission report refuses <it>:", ["No better than <chance>."])
    page = dataclasses.replace(
        fixtures.run_page(), refusals=[refusal], left_out={"rows too long": 12, "ties": 3}
    )
    html = render_run(page)
    assert html.index("No better than &lt;chance&gt;.") < html.index('class="figures tiles"')
    assert "Left out: 12 rows too long, 3 ties." in html
    assert html.index("The admission report refuses &lt;it&gt;:") < html.index("No better than &lt;chance")
    comparison = Comparison("evaluation/e", "a wins", ["paid by <itself>"], "rule:<r>", "data/held_out.jsonl")
    changed = dataclasses.replace(page, left_out={"ties": 1}, comparisons=[comparison], more_comparisons=2)
    one = render_run(changed)
    assert "Left out: 1 tie." in one
    for text in ("a wins", "paid by &lt;itself&gt;", "rule:&lt;r&gt;", "data/held_out.jsonl"):
        assert one.index(text) < one.index('class="figures tiles"')
    assert "2 older comparisons not shown." in one
    without = render_run(fixtures.run_page())
    assert "refuses" not in without and 'class="comparisons"' not in without


def test_every_list_of_the_page_stays_inside_the_margin() -> None:
    """Lists have no padding unless a class gives it, so a bullet without one hangs left of the text."""
    comparison = Comparison("evaluation/e", "a wins", ["a remark"], "rule:r", "held_out.jsonl")
    html = render_run(fixtures.run_page(refusals=[Refusal("Why:", ["reason"])], comparisons=[comparison]))
    top = html[html.index("<h1>") : html.index("<nav")]
    assert top.count('<ul class="notes">') == top.count("<ul") == 2
