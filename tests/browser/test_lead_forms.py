"""Leads lose nothing: what they type is kept, and what another lead has changed is not overwritten."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from browser.conftest import Browse, Studio
from browser.held_requests import until
from fairlead.labels import campaigns, judgements, leases, members
from fairlead.labels.campaigns import Campaign
from fairlead.labels.people import Person

pytestmark = pytest.mark.browser
WAIT_MS = 60_000  # the machine may be busy


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "my_rows.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"q{n}", "chosen": "a", "rejected": "b"}) + "\n" for n in range(60))
    )
    return path


def two_pages(studio: Studio, browse: Browse, campaign: Campaign, page: str) -> tuple[Page, Page]:
    """The same page in two browsers, of two leads."""
    pages = [browse(studio.person(name, campaign, role="lead")) for name in ("Ada", "Ben")]
    for one in pages:
        one.set_default_timeout(WAIT_MS)
        one.goto(f"{studio.url}/c/{campaign.slug}/{page}")
    return pages[0], pages[1]


def now(studio: Studio, campaign: Campaign) -> Campaign:
    with studio.database.read() as connection:
        return campaigns.get_by_id(connection, campaign.id)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


# ---------------------------------------------------------------- two leads


def test_settings_of_two_leads_are_merged_when_they_changed_different_ones(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("pairwise", options={"chips": ["clear", "kind"]})
    one, two = two_pages(studio, browse, campaign, "settings")
    one.get_by_label("Reasons").fill("clear\nkind\ntruthful")
    save(one)
    expect(one.get_by_text("Saved", exact=True)).to_be_visible()
    two.get_by_label("Name", exact=True).fill("A better name")
    save(two)
    expect(two.get_by_text("Saved", exact=True)).to_be_visible()
    expect(two.get_by_text("Somebody else has changed Reasons meanwhile.")).to_be_visible()
    expect(two.get_by_label("Reasons")).to_have_value("clear\nkind\ntruthful")
    found = now(studio, campaign)
    assert (found.name, found.options["chips"]) == ("A better name", ["clear", "kind", "truthful"])
    # The same page goes on from there.
    two.get_by_label("Judgements per item").fill("2")
    save(two)
    until(two, lambda: now(studio, campaign).overlap == 2)
    expect(two.get_by_label("Judgements per item")).to_have_value("2")


def test_when_both_changed_the_same_the_second_lead_decides(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", options={"chips": ["clear"]})
    one, two = two_pages(studio, browse, campaign, "settings")
    one.get_by_label("Reasons").fill("clear\ntrue")
    save(one)
    expect(one.get_by_text("Saved", exact=True)).to_be_visible()
    two.get_by_label("Reasons").fill("clear\nkind")
    save(two)
    expect(two.get_by_text("It is now: “clear, true”.")).to_be_visible()
    expect(two.get_by_label("Reasons")).to_have_value("clear\nkind")
    assert now(studio, campaign).options["chips"] == ["clear", "true"]
    save(two)
    expect(two.get_by_text("Saved", exact=True)).to_be_visible()
    assert now(studio, campaign).options["chips"] == ["clear", "kind"]


def test_the_time_for_an_item_is_in_minutes_everywhere(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs")
    page, _ = two_pages(studio, browse, campaign, "settings")
    minutes = page.get_by_label("Time to judge an item (minutes)")
    expect(minutes).to_have_value("30")
    minutes.fill("1.5")
    save(page)
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert now(studio, campaign).lease_s == 90
    page.reload()
    expect(page.get_by_label("Time to judge an item (minutes)")).to_have_value("1.5")
    save(page)
    expect(page.get_by_text("Nothing has changed")).to_be_visible()


def test_guidelines_of_two_leads_do_not_replace_each_other_unseen(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", guidelines="Be kind.")
    one, two = two_pages(studio, browse, campaign, "guidelines")
    theirs = "Be kind and brief. " * 20
    for page, text in ((one, theirs), (two, "Be right.")):
        page.get_by_label("Guidelines (Markdown)").fill(text)
        page.get_by_role("button", name="Save as a new version").click()
    expect(two.get_by_text("Somebody else has changed Guidelines (Markdown) too.")).to_be_visible()
    two.get_by_text("Their text").click()
    expect(two.locator(".notice pre")).to_have_text(theirs)
    expect(two.get_by_label("Guidelines (Markdown)")).to_have_value("Be right.")
    two.get_by_role("button", name="Save as a new version").click()
    expect(two.get_by_text("version 3", exact=True)).to_be_visible()


def test_a_role_that_another_lead_changed_is_shown_and_not_overwritten(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("pairwise")
    ada: Person = studio.person("Ada", campaign)
    one, two = two_pages(studio, browse, campaign, "people")
    select = f"form[data-api$='{ada.rater}'] select"
    one.locator(select).select_option("viewer")
    expect(one.get_by_text("Saved", exact=True)).to_be_visible()
    role = two.locator(select)
    role.select_option("adjudicator")
    expect(two.get_by_text("Somebody else has just changed the role of Ada to viewer.")).to_be_visible()
    expect(role).to_have_value("viewer")
    with studio.database.read() as connection:
        assert members.list_of_person(connection, ada.id)[campaign.id].role == "viewer"


# ---------------------------------------------------------------- drafts


def test_guidelines_survive_the_end_of_a_session_and_are_asked_about(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs")
    lead = studio.person("Ada", campaign, role="lead")
    page = browse(lead)
    page.set_default_timeout(WAIT_MS)
    address = f"{studio.url}/c/{campaign.slug}/guidelines"
    page.goto(address)
    page.get_by_label("Guidelines (Markdown)").fill("An hour of work")
    expect(page.locator("#shown")).to_contain_text("An hour of work")  # nothing is on its way any more
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    page.goto(address)
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("An hour of work")
    expect(page.get_by_text("is back. It is not saved yet.")).to_be_visible()
    expect(page.locator("#shown")).to_contain_text("An hour of work")

    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("link", name="Items").click(no_wait_after=True)
    until(page, lambda: asked == ["beforeunload"])
    assert page.url == address
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_text("version 2", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("An hour of work")
    expect(page.get_by_text("is back. It is not saved yet.")).to_have_count(0)
    assert asked == ["beforeunload"]


def test_a_draft_is_of_one_person_and_can_be_discarded(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", guidelines="Be kind.")
    page = browse(studio.person("Ada", campaign, role="lead"))
    page.set_default_timeout(WAIT_MS)
    address = f"{studio.url}/c/{campaign.slug}/guidelines"
    page.goto(address)
    page.get_by_label("Guidelines (Markdown)").fill("Mine")
    mine = page.context.cookies()
    other = studio.person("Ben", campaign, role="lead")
    page.context.add_cookies([{**mine[0], "value": studio.session(other)}])  # type: ignore[typeddict-item]
    page.goto(address)
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("Be kind.")
    page.context.add_cookies(mine)  # type: ignore[arg-type]
    page.goto(address)
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("Mine")
    page.get_by_role("button", name="Discard it").click()
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("Be kind.")
    page.reload()
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("Be kind.")


def test_a_draft_from_before_another_lead_saved_tells_what_is_there_now(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("thumbs", guidelines="Be kind.")
    page = browse(studio.person("Ada", campaign, role="lead"))
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/c/{campaign.slug}/guidelines")
    page.get_by_label("Guidelines (Markdown)").fill("Mine")
    with studio.database.write() as connection:
        campaigns.write_guidelines(connection, campaign, "Theirs", by="system")
    page.goto(f"{studio.url}/c/{campaign.slug}/guidelines")
    expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("Mine")
    expect(page.get_by_text("It is now: “Theirs”.")).to_be_visible()


def test_the_wizard_keeps_everything_through_back_and_a_refusal(
    studio: Studio, browse: Browse, rows: Path
) -> None:
    page = browse(studio.person("Olga", owner=True))
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/new")
    page.get_by_label("File of rows").set_input_files(rows)
    page.get_by_role("button", name="Upload and look").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name", exact=True).fill("Kept")
    page.get_by_label("Guidelines (Markdown)").fill("An hour of work")
    page.get_by_label("Judgements per item").fill("3")
    page.get_by_label("Currency").select_option("USD")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("my_rows.jsonl is chosen.")).to_be_visible()
    page.get_by_role("link", name="Continue").click()
    page.get_by_role("button", name="Next").click()

    def kept() -> None:
        expect(page.get_by_label("Name", exact=True)).to_have_value("Kept")
        expect(page.get_by_label("Guidelines (Markdown)")).to_have_value("An hour of work")
        expect(page.get_by_label("Judgements per item")).to_have_value("3")
        expect(page.get_by_label("Currency")).to_have_value("USD")

    kept()
    page.get_by_label("Pay per hour of active time").fill("a lot")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("must be an amount of money").first).to_be_visible()
    kept()
    page.get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Next").click()
    kept()
    page.get_by_label("Pay per hour of active time").fill("20")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("60 items added")).to_be_visible()
    page.goto(f"{studio.url}/new")  # the draft is gone with the campaign that was made of it
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('/new/'))") == []


# ---------------------------------------------------------------- from a file to a campaign


def test_a_lead_publishes_a_file_with_five_clicks_and_sees_its_items(
    studio: Studio, browse: Browse, rows: Path
) -> None:
    page = browse(studio.person("Olga", owner=True))
    page.set_default_timeout(WAIT_MS)
    page.add_init_script(
        """addEventListener("click", (event) => {
            if (event.isTrusted) localStorage.clicks = 1 + Number(localStorage.clicks ?? 0);
        }, true)"""
    )
    page.goto(f"{studio.url}/campaigns")
    page.get_by_role("link", name="New campaign").first.click()
    with page.expect_file_chooser() as chooser:
        page.get_by_label("File of rows").click()
    chooser.value.set_files(rows)
    page.get_by_role("button", name="Upload and look").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("My rows")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("60 items added")).to_be_visible()
    assert page.evaluate("Number(localStorage.clicks)") <= 5
    # The page is fresh, without loading it again.
    expect(page.locator("#found tbody tr")).to_have_count(25)
    expect(page.locator("#tally")).to_have_text("60 items, 0 of 60 judgements made.")
    expect(page.get_by_text("No items yet")).to_have_count(0)
    page.get_by_role("link", name="Invite people").click()
    expect(page.get_by_role("button", name="Create link")).to_be_visible()
    slug = page.url.split("/")[-2]
    with studio.database.read() as connection:
        assert campaigns.get(connection, slug).state == "open"


def test_a_snapshot_appears_in_the_list_when_it_is_made(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("thumbs", items=1)
    ada = studio.person("Ada", campaign)
    judge_one(studio, campaign, ada)
    page = browse(studio.person("Lead", campaign, role="lead"))
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{studio.url}/c/{campaign.slug}/snapshots")
    page.get_by_role("button", name="Create snapshot").click()
    expect(page.get_by_text("is ready.")).to_be_visible()
    expect(page.locator("#made tbody tr")).to_have_count(1)
    expect(page.get_by_label("Snapshot name")).to_have_value(f"{campaign.slug}-2")


def judge_one(studio: Studio, campaign: Campaign, person: Person) -> None:
    with studio.database.write() as connection:
        (task,) = leases.lease_items(connection, campaign, person.rater)
        judgements.submit(
            connection,
            task.id,
            person.rater,
            judgements.NewJudgement(key=f"key-{task.id}", value={"label": True}, active_ms=1000),
        )
