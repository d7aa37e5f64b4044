"""axe-core over every page, light and dark, wide and phone: nothing serious or critical."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from browser.conftest import RUN, Browse, Studio
from fairlead.labels import credentials, flags, items, judgements, leases, snapshot, task_kinds
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import now
from fairlead.labels.snapshot_filters import SnapshotFilters

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
LOOK = """async () => {
  const describe = (node) => node.target.join(" ") + ": " + node.failureSummary;
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => ({ rule: id, nodes: nodes.slice(0, 4).map(describe) }));
}"""
WIDTHS = (1280, 360)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def studio(request: pytest.FixtureRequest, scheme: str) -> Studio:
    """Every page is looked at on both databases, in one of the two schemes on each."""
    made: Studio = request.getfixturevalue("on_sqlite" if scheme == "light" else "on_postgresql")
    return made


def problems(page: Page) -> list[dict[str, Any]]:
    """axe is put in by the debugger, for the page's own policy lets no foreign script in."""
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(LOOK)
    return found


def looked_at(page: Page, address: str) -> dict[str, list[dict[str, Any]]]:
    """Width -> what is wrong."""
    found = {}
    page.goto(address)
    page.wait_for_load_state("load")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)
        if wrong := problems(page):
            found[f"{width}"] = wrong
    return found


def test_axe_sees_what_is_wrong(studio: Studio, browse: Browse) -> None:
    """It could not fail if the script did not run."""
    page = browse(studio.person(owner=True))
    page.goto(f"{studio.url}/me")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<button></button><img src=\"data:,\">')")
    assert {"button-name", "image-alt"} <= {each["rule"] for each in problems(page)}


@pytest.mark.parametrize("kind", task_kinds.TASK_KINDS)
def test_the_labelling_screen(studio: Studio, browse: Browse, kind: str, scheme: str) -> None:
    campaign = studio.campaign(kind, options={"chips": ["clearer", "shorter"]})
    page = browse(studio.person("Ada", campaign), color_scheme=scheme)
    assert looked_at(page, f"{studio.url}/c/{campaign.slug}/label") == {}


def judged(studio: Studio, campaign: Campaign) -> None:
    """A judgement and a flag, so that tables have rows."""
    ada = studio.person("Ada", campaign)
    with studio.database.write() as connection:
        [task] = leases.lease_items(connection, campaign, ada.rater)
        flags.raise_flag(connection, task.id, ada.rater, reason="harmful", note="Look at this")
        judgements.submit(
            connection,
            task.id,
            ada.rater,
            judgements.NewJudgement(key=f"key-{task.id}", value={"choice": 2}, reasons=[], note="Shorter"),
        )


def frozen(studio: Studio, campaign: Campaign, name: str) -> None:
    with studio.database.write() as connection:
        snapshot.enqueue(connection, studio.project, campaign, name, SnapshotFilters(), by="system")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with studio.database.read() as connection:
            if snapshot.list_all(connection, campaign.id):
                return
        time.sleep(0.05)
    raise AssertionError("no snapshot was made")


PAGES: dict[str, Callable[[str], str]] = {
    "home": lambda slug: "/",
    "campaigns": lambda slug: "/campaigns",
    "work": lambda slug: "/work",
    "me": lambda slug: "/me",
    "people": lambda slug: "/people",
    "webhooks": lambda slug: "/webhooks",
    "runs": lambda slug: "/runs",
    "new campaign": lambda slug: "/new",
    "new task": lambda slug: "/new/task?kind=pairwise",
    "dashboard": lambda slug: f"/c/{slug}",
    "members": lambda slug: f"/c/{slug}/people",
    "items": lambda slug: f"/c/{slug}/items",
    "an item": lambda slug: f"/c/{slug}/items/{{item}}",
    "guidelines": lambda slug: f"/c/{slug}/guidelines",
    "add items": lambda slug: f"/c/{slug}/add",
    "settings": lambda slug: f"/c/{slug}/settings",
    "snapshots": lambda slug: f"/c/{slug}/snapshots",
    "run": lambda slug: f"/runs/{RUN}",
    "artifact": lambda slug: "/artifacts/model/helpful",
    "lineage": lambda slug: "/lineage/model/helpful",
    "snapshot": lambda slug: f"/c/{slug}/snapshots/{slug}-1",
    "new chat": lambda slug: "/new/task?kind=chat",
    "not there": lambda slug: "/nothing",
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_leads_and_owners(studio: Studio, browse: Browse, name: str, scheme: str) -> None:
    campaign = studio.campaign("pairwise", items=3)
    judged(studio, campaign)
    if name == "snapshot":
        frozen(studio, campaign, f"{campaign.slug}-1")
    with studio.database.read() as connection:
        item = items.list_page(connection, campaign.id, limit=1)[0].id
    page = browse(studio.person(owner=True), color_scheme=scheme)
    assert looked_at(page, studio.url + PAGES[name](campaign.slug).format(item=item)) == {}


@pytest.mark.parametrize("place", ["login", "join", "first"])
def test_the_door(studio: Studio, browse: Browse, place: str, scheme: str) -> None:
    campaign = studio.campaign("pairwise")
    address = f"{studio.url}/login"
    if place != "login":
        with studio.database.write() as connection:
            role, where = ("labeller", campaign.id) if place == "join" else ("owner", None)
            _, secret = credentials.create_invite(
                connection, role=role, campaign_id=where, by="system", at=now()
            )
        address = f"{studio.url}/{place}/{secret}"
    page = browse(studio.person("Nobody yet"), color_scheme=scheme)
    page.context.clear_cookies()
    assert looked_at(page, address) == {}
