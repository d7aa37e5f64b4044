"""The datasheet of a snapshot, in Markdown and HTML."""

from pathlib import Path

from fairlead.core import digest
from fairlead.labels import campaigns, datasheet, items
from fairlead.labels.database import Database
from fairlead.labels.datasheet import Block
from fairlead.store.artifact import load_artifact
from fairlead.store.project import create_project
from labels.snapshots import ANN, BEN, CAT, LEAD, create_campaign, judge_all, new_item, prefers, take_snapshot

BAD_NAME = "<b>Help</b> | `me`"


def test_a_datasheet_describes_the_snapshot(database: Database, tmp_path: Path) -> None:
    project = create_project(tmp_path / "home")
    campaign = create_campaign(
        database,
        "pairwise",
        *[
            new_item(n, "a", "b", strategy="spread", selection_probability=n / 4, source="rows.jsonl")
            for n in (1, 2, 3)
        ],
        pay_per_hour=18.0,
        audience="Nurses.",
    )
    judge_all(database, campaign, ANN, {f"{n}?": prefers("a", 3) for n in (1, 2, 3)}, active_ms=600_000)
    with database.write() as connection:
        campaigns.write_guidelines(connection, campaign, "Be brief.\n```\ncode\n```", by=LEAD)
        campaign = campaigns.change(connection, campaign, by=LEAD, name=BAD_NAME)
    judge_all(
        database,
        campaign,
        BEN,
        {"1?": prefers("a", 1), "2?": prefers("b", 1), "3?": {"choice": 4}},
        active_ms=0,
    )
    taken, folder = take_snapshot(database, project, campaign, ties=False)
    text = (folder / "datasheet.md").read_text()
    for phrase in (
        "# Datasheet: \\<b\\>Help\\</b\\> \\| \\`me\\`",
        "on an eight-step scale with two kinds of tie. Nurses.",
        "| comparisons.jsonl | 5 |",
        "| a tie | 1 |",
        "The snapshot uses 6 of the campaign's 6 current judgements. 3 items have at least one row.",
        f"| {ANN} | 3 | 50.0% | 600.0 | 0 |",
        f"| {BEN} | 3 | 50.0% | 0.0 | 3 |",
        "33.3%",  # both raters agree on one of three items
        "Krippendorff's alpha is",
        "0.50 hours of active time",
        "At 18.00 EUR per hour of active time, the cost is 9.00 EUR, or 1.500 EUR each.",
        "| spread | 3 |",
        "| rows.jsonl | 3 |",
        "probabilities from 0.25 to 0.75",
        "Version 1: 3 judgements.",
        "````markdown\nBe brief.\n```\ncode\n```\n````",
        "Only 2 raters made the judgements",
        "50.0% of the judgements were made too fast to read the answers.",
        "Ties are left out, so",
        "The guidelines changed during the campaign",
    ):
        assert phrase in text, phrase
    assert "judged once" not in text
    page = (folder / "datasheet.html").read_text()
    assert "<h1>Datasheet: &lt;b&gt;Help&lt;/b&gt; | `me`</h1>" in page and "<script" not in page
    assert "<td>comparisons.jsonl</td><td>5</td>" in page
    assert taken.digest == load_artifact(folder).manifest.digest
    assert (folder / "datasheet.md").read_bytes() and digest.of_file(
        folder / "datasheet.md"
    ) in load_artifact(folder).manifest.files.values()


def test_unknown_figures_are_reported_as_unknown(database: Database, tmp_path: Path) -> None:
    project = create_project(tmp_path / "home")
    campaign = create_campaign(database, "pairwise", new_item(1, "a", "b", strategy="hardest"))
    judge_all(database, campaign, CAT, {"1?": prefers("a")})
    text = (take_snapshot(database, project, campaign)[1] / "datasheet.md").read_text()
    for phrase in (
        "No item was judged by two raters. The agreement is not known.",
        "The pay of the raters is not recorded.",
        "Every item was judged once",
        "A strategy without probabilities selected the items",
    ):
        assert phrase in text, phrase
    written = create_campaign(database, "demonstration", items.NewItem(new_item(1).prompt))
    judge_all(database, written, CAT, {"1?": {"text": "One."}})
    assert (
        "Texts are not compared."
        in (take_snapshot(database, project, written, "written")[1] / "datasheet.md").read_text()
    )


def test_a_bias_towards_the_first_answer_is_listed_as_a_limitation(
    database: Database, tmp_path: Path
) -> None:
    project = create_project(tmp_path / "home")
    campaign = create_campaign(database, "pairwise", *[new_item(n, "a", "b") for n in range(12)], overlap=1)
    judge_all(database, campaign, ANN, {f"{n}?": {"choice": 1} for n in range(12)})
    text = (take_snapshot(database, project, campaign)[1] / "datasheet.md").read_text()
    assert (
        "The answer shown first was preferred in 100.0% (95% interval: 75.8% to 100.0%) of comparisons"
        in text
    )  # Wilson: 12 / (12 + 1.96 ** 2)


def test_blocks_are_escaped_in_markdown_and_html() -> None:
    blocks = [
        Block("title", (("A & <b>",),)),
        Block("list", (("1 * 2",), ("[x](javascript:alert(1))",))),
        Block("table", (("a|b",), ("c",))),
    ]
    assert (
        datasheet.to_markdown(blocks)
        == "# A \\& \\<b\\>\n\n- 1 \\* 2\n- &#91;x&#93;(javascript:alert(1))\n\n| a\\|b |\n| --- |\n| c |\n"
    )
    assert "<li>[x](javascript:alert(1))</li>" in datasheet.to_html(
        blocks
    ) and "<b>" not in datasheet.to_html(blocks)
