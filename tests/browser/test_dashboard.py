"""The dashboard and the run pages in a real Chromium: live updates over one connection per browser."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from browser.conftest import Browse, Studio
from fairlead.labels import flags, judgements, leases
from fairlead.labels.campaigns import Campaign
from fairlead.labels.people import Person
from fairlead.store.artifact import Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project
from fairlead.studio.app import create_app
from fairlead.studio.auth import COOKIE
from fairlead.studio.settings import Settings
from labels.build import hold_longer

pytestmark = pytest.mark.browser

SOON = 15_000  # ms; events come at once, and figures are asked for at most once a second


def judge(studio: Studio, campaign: Campaign, who: Person, choice: int = 2) -> None:
    """In another process's stead: written to the database, and no request of this server says so."""
    with studio.database.write() as connection:
        [task] = leases.lease_items(connection, campaign, who.rater)
        hold_longer(connection, task.id)
        judgements.submit(
            connection,
            task.id,
            who.rater,
            judgements.NewJudgement(key=f"key-{task.id}", value={"choice": choice}, active_ms=30_000),
        )


def overview(page: Page, studio: Studio, campaign: Campaign) -> Page:
    page.goto(f"{studio.url}/c/{campaign.slug}")
    expect(page.locator("#live-state")).to_contain_text("Live")
    return page


def test_what_is_judged_appears_without_loading_the_page_again(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=6)
    lead, ada = studio.person("Lead", campaign, role="lead"), studio.person("Ada", campaign)
    page = overview(browse(lead), studio, campaign)
    page.evaluate("window.same = true")
    expect(page.get_by_text("Judgements appear here as they are made")).to_be_visible()
    expect(page.get_by_text("No activity yet")).to_be_visible()
    judge(studio, campaign, ada)
    expect(page.locator(".recent li")).to_have_count(1, timeout=SOON)
    expect(page.get_by_role("cell", name=re.compile("Ada"))).to_be_visible()
    expect(page.get_by_label("Judgements done")).to_have_attribute("value", "1")
    judge(studio, campaign, ada)
    expect(page.locator(".recent li")).to_have_count(2, timeout=SOON)
    assert page.evaluate("window.same") is True


def test_settling_a_flag_and_taking_back_a_hold_by_keyboard(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    lead, ada = studio.person("Lead", campaign, role="lead"), studio.person("Ada", campaign)
    with studio.database.write() as connection:
        [task] = leases.lease_items(connection, campaign, ada.rater)
        flags.raise_flag(connection, task.id, ada.rater, reason="harmful", note="<b>Look</b> at this")
    page = overview(browse(lead), studio, campaign)
    expect(page.get_by_text("<b>Look</b> at this")).to_be_visible()
    button = page.get_by_role("button", name=re.compile("^Mark as settled"))
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_count(0, timeout=SOON)
    expect(
        page.get_by_text(
            "No flags, nobody has stopped in the middle of an item, and there is somebody for every"
        )
    ).to_be_visible()
    with studio.database.read() as connection:
        assert flags.list_flags(connection, campaign.id) == []
        assert len(flags.list_flags(connection, campaign.id, resolved=True)) == 1


def test_a_button_with_the_focus_is_not_taken_away(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=8)
    lead, ada = studio.person("Lead", campaign, role="lead"), studio.person("Ada", campaign)
    with studio.database.write() as connection:
        [task] = leases.lease_items(connection, campaign, ada.rater)
        flags.raise_flag(connection, task.id, ada.rater, reason="other", note="one")
    page = overview(browse(lead), studio, campaign)
    page.get_by_role("button", name=re.compile("^Mark as settled")).focus()
    with studio.database.write() as connection:
        flags.raise_flag(connection, task.id, ada.rater, reason="other", note="two")
    judge(studio, campaign, ada)
    expect(page.locator(".recent li")).to_have_count(1, timeout=SOON)  # the rest of the page has gone on
    assert page.evaluate("document.activeElement.textContent.trim().startsWith('Mark as settled')")


def test_one_browser_holds_one_line_and_another_window_takes_over(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=8)
    lead, ada = studio.person("Lead", campaign, role="lead"), studio.person("Ada", campaign)
    first = browse(lead)
    lines: list[str] = []
    first.context.on(
        "request",
        lambda request: lines.append(request.url) if request.url.split("?")[0].endswith("/events") else None,
    )
    overview(first, studio, campaign)
    second = overview(first.context.new_page(), studio, campaign)
    third = overview(first.context.new_page(), studio, campaign)
    judge(studio, campaign, ada)
    for page in (first, second, third):
        page.bring_to_front()
        expect(page.locator(".recent li")).to_have_count(1, timeout=SOON)
    assert len(lines) == 1
    first.close()
    judge(studio, campaign, ada)
    second.bring_to_front()
    expect(second.locator(".recent li")).to_have_count(2, timeout=20_000)
    assert len(lines) == 2


def test_without_a_line_it_asks_now_and_then(studio: Studio, browse: Browse) -> None:
    """As behind a proxy that holds streams back."""
    campaign = studio.campaign("pairwise", items=4)
    lead, ada = studio.person("Lead", campaign, role="lead"), studio.person("Ada", campaign)
    page = browse(lead)
    page.route(re.compile(r"/api/v1/events\?"), lambda route: route.fulfill(status=404))
    page.goto(f"{studio.url}/c/{campaign.slug}")
    expect(page.locator("#live-state")).to_contain_text("Updated every few seconds", timeout=SOON)
    judge(studio, campaign, ada)
    expect(page.locator(".recent li")).to_have_count(1, timeout=12_000)


def test_a_line_is_tried_again_and_again(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    page = browse(studio.person("Lead", campaign, role="lead"))
    page.clock.install()
    lines: list[str] = []
    page.on(
        "response",
        lambda answer: lines.append(answer.url) if answer.url.split("?")[0].endswith("/events") else None,
    )
    page.route(re.compile(r"/api/v1/events\?"), lambda route: route.fulfill(status=404))
    page.goto(f"{studio.url}/c/{campaign.slug}")
    for _ in range(60):
        page.clock.run_for(10_000)
        if len(lines) == 3:
            break
    assert len(lines) == 3


def test_it_says_when_the_studio_is_gone_and_goes_on_when_it_is_back(studio: Studio, browse: Browse) -> None:
    campaign = studio.campaign("pairwise", items=4)
    lead, ada = studio.person("Lead", campaign, role="lead"), studio.person("Ada", campaign)
    page = overview(browse(lead), studio, campaign)
    page.context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#live-state")).to_contain_text("Reconnecting", timeout=SOON)
    judge(studio, campaign, ada)
    page.context.set_offline(False)
    expect(page.locator(".recent li")).to_have_count(1, timeout=20_000)
    expect(page.locator("#live-state")).to_contain_text("Live", timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_nothing_is_wider_than_the_screen(studio: Studio, browse: Browse, width: int, scheme: Any) -> None:
    campaign = studio.campaign(
        "pairwise", items=12, name="A campaign with quite a long name, as they come to have in the end"
    )
    lead, ada = (
        studio.person("Lead", campaign, role="lead"),
        studio.person("Ada Augusta King, Countess of Lovelace", campaign),
    )
    for choice in (1, 4, 8):
        judge(studio, campaign, ada, choice)
    with studio.database.write() as connection:
        [task] = leases.lease_items(connection, campaign, ada.rater)
        flags.raise_flag(connection, task.id, ada.rater, reason="wrong guidelines", note="word" * 100)
    page = browse(lead, viewport={"width": width, "height": 900}, color_scheme=scheme)
    overview(page, studio, campaign)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# ---------------------------------------------------------------- runs and lineage


@pytest.fixture
def home(tmp_path: Path) -> Project:
    return create_project(tmp_path / "project")


@pytest.fixture
def beside(studio: Studio, home: Project) -> Iterator[str]:
    """The address of a second server over the same database, beside a project."""
    app = create_app(Settings(database=studio.database.url, project=home.root), studio.database)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    app.state.live.close()
    server.should_exit = True
    thread.join(10)


def make_run(home: Project, steps: int) -> Path:
    folder = home.runs / "ppo-aligned-0123456789"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps({"recipe": "ppo", "config": {"name": "aligned", "steps": 40}, "inputs": {}, "code": {}})
    )
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": k, "reward": k * 0.1}) + "\n" for k in range(1, steps + 1))
    )
    return folder


def test_curves_grow_while_one_looks(studio: Studio, browse: Browse, home: Project, beside: str) -> None:
    folder = make_run(home, 3)
    page = browse(studio.person("Grace", owner=True))
    page.goto(f"{beside}/runs/{folder.name}")
    expect(page.locator("svg.curves desc")).to_contain_text("3 points")
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 4, "reward": 2.5}) + "\n")
    expect(page.locator("svg.curves desc")).to_contain_text("4 points from 0.100 to 2.50", timeout=SOON)


def test_what_had_the_focus_catches_up_when_it_has_it_no_more(
    studio: Studio, browse: Browse, home: Project, beside: str
) -> None:
    folder = make_run(home, 3)
    (folder / "report.html").write_text("<title>report</title>")
    page = browse(studio.person("Grace", owner=True))
    page.goto(f"{beside}/runs/{folder.name}")
    page.locator("[data-part=head] a").focus()
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 4, "reward": 2.5}) + "\n")
    expect(page.locator("svg.curves desc")).to_contain_text("4 points", timeout=SOON)
    expect(page.locator("[data-part=head]")).to_contain_text("step 3")
    page.evaluate("document.activeElement.blur()")
    expect(page.locator("[data-part=head]")).to_contain_text("step 4", timeout=SOON)


def test_a_report_runs_nothing_in_the_studio(
    studio: Studio, browser: Browser, home: Project, beside: str
) -> None:
    folder = make_run(home, 3)
    (folder / "report.html").write_text(
        "<title>report</title><p id=p>quiet</p><script>document.title='owned'; fetch('/api/v1/me')</script>"
        "<img src=x onerror=\"document.title='owned'\">"
        "<form action=/logout method=post><button>go</button></form>"
    )
    context = browser.new_context()
    context.add_cookies(
        [{"name": COOKIE, "value": studio.session(studio.person("Grace", owner=True)), "url": beside}]
    )
    page = context.new_page()
    answered: list[str] = []
    page.on("response", lambda answer: answered.append(answer.url))
    page.goto(f"{beside}/runs/{folder.name}/report.html")
    page.get_by_role("button", name="go").click()
    time.sleep(0.5)
    assert page.title() == "report" and page.locator("#p").text_content() == "quiet"
    assert [url for url in answered if not url.endswith("/report.html")] == []
    context.close()


def test_from_label_to_model_by_keyboard(studio: Studio, browse: Browse, home: Project, beside: str) -> None:
    def fill(folder: Path) -> None:
        (folder / "rows.jsonl").write_text("{}\n")

    labels = publish_artifact(
        home,
        "snapshot",
        "helpful-1",
        Provenance(parents=(), config={"campaign": "helpful"}, seed=0, metrics={}),
        fill=fill,
    )
    parents = [Parent(labels.label, labels.manifest.digest, "comparisons")]
    publish_artifact(
        home, "reward-model", "reward", Provenance(parents=parents, config={}, seed=0, metrics={}), fill=fill
    )
    page = browse(studio.person("Grace", owner=True), viewport={"width": 390, "height": 800})
    page.goto(f"{beside}/lineage/reward-model/reward")
    link = page.locator("svg.lineage a").filter(has_text="helpful-1")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Lineage of helpful-1")
    page.wait_for_load_state()  # the heading can be there before the style sheets are
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("table").get_by_role("link", name="reward-model/reward")).to_be_visible()
