"""The wizard in a real Chromium: upload, preview, choose, publish, import, create a snapshot."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Browse, Studio
from browser.held_requests import HeldRequests, texts_of_api
from fairlead.labels import campaigns, judgements, leases
from labels.build import hold_longer

pytestmark = pytest.mark.browser
WAIT_MS = 60_000  # the machine may be busy


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = [
        {
            "prompt": f"Question **{n}**?",
            "completions": [f"yes {n}", f"no {n}", f"maybe {n}"],
            "model": "model/secret",
        }
        for n in range(6)
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


def test_from_a_file_to_a_snapshot(studio: Studio, browse: Browse, answers: Path) -> None:
    page = browse(studio.person("Olga Owner", owner=True))
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/campaigns")
    page.get_by_role("link", name="New campaign").first.click()
    page.get_by_label("File of rows").set_input_files(answers)
    page.get_by_role("button", name="Upload and look").click()

    # 1. Five rendered items, and the bad row with its line
    expect(page.locator("#rows .item")).to_have_count(5)
    expect(page.locator("#rows .said").first).to_have_text("Question **0**?")  # as it was written
    expect(page.get_by_text("7 rows become 12 items")).to_be_visible()
    expect(page.locator("#bad td").first).to_have_text("7")
    page.get_by_text("compare all with all").click()
    expect(page.get_by_text("7 rows become 18 items")).to_be_visible()
    page.get_by_text("Put answers in order").click()
    expect(page.get_by_text("7 rows become 6 items")).to_be_visible()
    page.get_by_text("Which answer is better").click()
    expect(page.get_by_text("7 rows become 18 items")).to_be_visible()
    page.get_by_role("button", name="Next").click()

    # 2. Guidelines as they are typed
    page.get_by_label("Guidelines (Markdown)").fill("# Be *kind*\n\n<script>alert(1)</script>")
    expect(page.locator("#shown em")).to_have_text("kind")
    page.get_by_label("Name", exact=True).fill("From a file")
    page.get_by_label("Judgements per item").fill("1")
    page.get_by_role("button", name="Publish").click()

    # 3. The import goes on by itself, and is told without loading the page again
    expect(page.locator(".badge.good", has_text="done")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("18 items added, 1 rejected")).to_be_visible()
    expect(page.get_by_text("0 of 18 judgements made")).to_be_visible()
    expect(page.locator("#found tbody tr")).to_have_count(18)

    # 4. Somebody judges; the lead freezes it
    judge(studio, "from-a-file", choices=[1, 4, 8])
    page.get_by_role("link", name="Snapshots").click()
    counts = page.locator("#counts")
    expect(counts.locator(".value").first).to_have_text("3")
    page.get_by_text("Include ties").click()
    expect(counts.locator(".value").first).to_have_text("2")
    expect(counts.get_by_text("1 × a tie")).to_be_visible()
    page.get_by_role("button", name="Create snapshot").click()
    page.get_by_role("link", name="from-a-file-1").first.click()
    expect(page.get_by_text("comparisons=snapshot/from-a-file-1")).to_be_visible()
    expect(page.get_by_text("Known limits")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="comparisons.jsonl").click()
    rows = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert len(rows) == 2 and all(row["sources"]["chosen"] == "model/secret" for row in rows)
    assert "model/secret" not in labels_page(studio, browse)


def test_a_task_chosen_before_the_scripts_have_loaded_is_previewed(
    studio: Studio, browse: Browse, answers: Path
) -> None:
    page = browse(studio.person("Olga Owner", owner=True))
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/new")
    page.get_by_label("File of rows").set_input_files(answers)
    scripts = HeldRequests(page, "**/htmx.min.js")
    page.get_by_role("button", name="Upload and look").click(no_wait_after=True)
    page.get_by_text("Put answers in order").click()
    expect(page.get_by_text("7 rows become 12 items")).to_be_visible()
    scripts[0].continue_()
    expect(page.get_by_text("7 rows become 6 items")).to_be_visible()


def test_a_phone_is_wide_enough_for_every_step(studio: Studio, browse: Browse, answers: Path) -> None:
    page = browse(
        studio.person("Olga Owner", owner=True), viewport={"width": 320, "height": 720}, color_scheme="dark"
    )
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/new")
    fits(page)
    page.get_by_label("File of rows").set_input_files(answers)
    page.get_by_role("button", name="Upload and look").click()
    expect(page.locator("#rows .item").first).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Next").click()
    fits(page)
    page.get_by_label("Name", exact=True).fill("On a phone")
    page.get_by_role("button", name="Save as draft").click()
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    for path in ("items", "guidelines", "settings", "add", "snapshots"):
        page.goto(f"{studio.url}/c/on-a-phone/{path}")
        fits(page)


def test_a_new_version_of_the_guidelines_shows_what_changed(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", guidelines="Be kind.\nBe brief.")
    page = browse(studio.person("Olga Owner", owner=True))
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/c/{campaign.slug}/guidelines")
    page.get_by_label("Guidelines (Markdown)").fill("Be kind.\nBe **right**.")
    expect(page.locator("#shown strong")).to_have_text("right")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".diff .removed")).to_contain_text("Be brief.")
    expect(page.locator(".diff .added")).to_contain_text("Be **right**.")


def judge(studio: Studio, slug: str, *, choices: list[int]) -> None:
    with studio.database.read() as connection:
        one = campaigns.get(connection, slug)
    ada = studio.person("Ada Lovelace", one)
    for choice in choices:
        with studio.database.write() as connection:
            (task,) = leases.lease_items(connection, one, ada.rater)
            hold_longer(connection, task.id)
            judgements.submit(
                connection,
                task.id,
                ada.rater,
                judgements.NewJudgement(key=f"key-{task.id}", value={"choice": choice}, active_ms=30_000),
            )


def labels_page(studio: Studio, browse: Browse) -> str:
    """All that a labeller of the campaign is sent."""
    with studio.database.read() as connection:
        one = campaigns.get(connection, "from-a-file")
    page = browse(studio.person("Ben Okri", one))
    page.set_default_timeout(WAIT_MS)
    sent = texts_of_api(page, lambda: page.goto(f"{studio.url}/c/from-a-file/label"))
    expect(page.get_by_text("Question").first).to_be_visible()
    return page.content() + "".join(sent)


def fits(page: Page) -> None:
    """Nothing is wider than the screen."""
    wide = page.evaluate(
        """() => [...document.querySelectorAll("main *")]
            .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
            .filter((node) => !node.closest(".tablebox, .tabs, pre, .said, .diff"))
            .map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.url, wide[:5])
