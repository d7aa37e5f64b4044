"""Forms that speak to the API: nothing is sent twice, out of order, or other than it is on the screen."""

import json

import pytest
from playwright.sync_api import Dialog, Page, expect

from browser.conftest import Browse, Studio
from browser.held_requests import HeldRequests
from fairlead.labels import campaigns, judgements, leases, members
from fairlead.labels.campaigns import Campaign
from fairlead.labels.people import Person

pytestmark = pytest.mark.browser


def members_page(studio: Studio, browse: Browse) -> tuple[Campaign, Person, Page]:
    """The page of a campaign's people, with one whose role can be changed."""
    campaign = studio.campaign("pairwise", items=1)
    page = browse(studio.person("Lead", campaign, role="lead"))
    ada = studio.person("Ada", campaign)
    page.goto(f"{studio.url}/c/{campaign.slug}/people")
    return campaign, ada, page


def test_a_role_that_was_refused_is_not_shown(studio: Studio, browse: Browse) -> None:
    _, _, page = members_page(studio, browse)
    role = page.get_by_label("Role of Ada")
    role.select_option("viewer")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    body = json.dumps({"error": {"message": "not this one."}})
    page.route(
        "**/people/*", lambda route: route.fulfill(status=409, body=body, content_type="application/json")
    )
    role.select_option("lead")
    expect(page.get_by_text("not this one.")).to_be_visible()
    expect(role).to_have_value("viewer")


def test_one_change_of_a_role_waits_for_another(studio: Studio, browse: Browse) -> None:
    campaign, ada, page = members_page(studio, browse)
    held = HeldRequests(page, "**/people/*")
    role = page.get_by_label("Role of Ada")
    for name in ("viewer", "adjudicator", "lead"):
        role.select_option(name)
    held.wait_for(1)
    held[0].continue_()
    held.wait_for(2)
    assert [one.request.post_data_json for one in held] == [
        {"role": "viewer", "was": "labeller"},
        {"role": "lead", "was": "viewer"},
    ]
    with page.expect_response("**/people/*"):
        held[1].continue_()
    with studio.database.read() as connection:
        assert members.list_of_person(connection, ada.id)[campaign.id].role == "lead"
    expect(role).to_have_value("lead")


def test_a_form_rests_until_the_next_page_is_there(studio: Studio, browse: Browse) -> None:
    _, _, page = members_page(studio, browse)
    pause = page.get_by_role("button", name="Pause Ada")
    pause.evaluate(
        "(button) => addEventListener('pagehide', () => sessionStorage.setItem('rested', button.disabled))"
    )
    pause.click()
    expect(page.get_by_role("button", name="Resume Ada")).to_be_enabled()
    assert page.evaluate("sessionStorage.getItem('rested')") == "true"


def test_a_snapshot_is_made_of_what_is_on_the_screen(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=2)
    page = browse(studio.person("Lead", campaign, role="lead"))
    held = HeldRequests(page, "**/snapshots-preview?*")
    page.goto(f"{studio.url}/c/{campaign.slug}/snapshots")
    make = page.get_by_role("button", name="Create snapshot")
    held.wait_for(1)
    expect(make).to_be_disabled()  # nothing was counted yet
    held[0].continue_()
    expect(make).to_be_enabled()
    page.get_by_label("Include ties").uncheck()
    expect(make).to_be_disabled()
    page.get_by_label("Snapshot name").press("Enter")
    held.wait_for(2)
    held[1].continue_()
    with page.expect_request(lambda request: request.method == "POST") as sent:
        make.click()
    assert json.loads(sent.value.post_data or "")["filters"]["ties"] is False


def test_a_lead_changes_what_is_asked_and_not_the_scale_on_which_people_have_judged(
    studio: Studio, browse: Browse
) -> None:
    campaign = studio.campaign("aspects", items=1)
    page = browse(studio.person("Lead", campaign, role="lead"))
    page.goto(f"{studio.url}/c/{campaign.slug}/settings")
    page.get_by_role("textbox", name="Aspects").fill("helpful\n kind \n")
    page.get_by_label("Reasons").fill("wrong\ntoo long, dull")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    ada = studio.person("Ada", campaign)
    with studio.database.write() as connection:
        one = campaigns.get_by_id(connection, campaign.id)
        assert one.options == {
            "aspects": ["helpful", "kind"],
            "chips": ["wrong", "too long, dull"],
            "points": 7,
        }
        [task] = leases.lease_items(connection, one, ada.rater)
        judgements.submit(
            connection,
            task.id,
            task.rater,
            judgements.NewJudgement(key="k" * 8, value={"aspects": {"helpful": 5, "kind": 7}}),
        )
    page.get_by_label("Points on the scale").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("with a 7-point scale")).to_be_visible()
    with studio.database.read() as connection:
        assert campaigns.get_by_id(connection, campaign.id).options == one.options


def test_deleting_the_chosen_items_asks_first(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise")
    page = browse(studio.person("Ada", campaign, role="lead"))
    page.goto(f"{studio.url}/c/{campaign.slug}/items")
    boxes = page.get_by_role("checkbox", name="Choose item")
    number = boxes.count()
    assert number > 1
    boxes.first.check()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(boxes.first).to_be_checked()  # the page is still the same
    questions = []

    def accept(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.accept()

    page.once("dialog", accept)
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(boxes).to_have_count(number - 1)
    assert questions == ["Delete the chosen items for good? Items that somebody has been handed stay."]
