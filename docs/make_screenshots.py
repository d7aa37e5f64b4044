"""Takes pictures of the studio's pages and task kinds, in light and dark, at three widths.

Usage: PYTHONPATH=tests python docs/make_screenshots.py build/screenshots [PREFIX …]

Starts `fairlead studio serve --demo` on a temporary project with a run and some artifacts, lets the
simulated labellers work for a while, creates a snapshot, and opens the pages in Chromium.  With prefixes,
takes only the pictures whose names start with one of them.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import get_chromium
from fairlead.store.artifact import Artifact, Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
TABLET: dict[str, Any] = {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LABELLING_S = 20
SNAPSHOT = "helpful-1"
RUN = "dpo-helpful-2f61c0ffee"


def main(folder: Path, prefixes: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        demo(Path(name) / "project") as (url, link),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=get_chromium.installed(), args=ARGUMENTS)
        session = log_in(browser, link)
        pages = addresses(session, url)
        session.pages[0].wait_for_timeout(LABELLING_S * 1000)
        state = session.storage_state()
        for scheme in ("light", "dark"):
            for size, screen in (("wide", WIDE), ("tablet", TABLET), ("phone", PHONE)):
                context = browser.new_context(
                    storage_state=state, color_scheme=scheme, device_scale_factor=1.5, **screen
                )
                page = context.new_page()
                for title, address in pages.items():
                    picture = f"{title}-{scheme}-{size}.png"
                    if not prefixes or picture.startswith(tuple(prefixes)):
                        take_picture(page, url + address, folder / picture)
                context.close()
        browser.close()


@contextmanager
def demo(folder: Path) -> Iterator[tuple[str, str]]:
    """The address of a running demo, and the link that logs in."""
    add_artifacts(create_project(folder))
    command = [
        sys.executable,
        "-m",
        "fairlead",
        "studio",
        "serve",
        "--demo",
        "--json",
        "--port",
        "0",
        "--project",
        str(folder),
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        started = json.loads(server.stdout.readline())
        yield started["url"], started["first_url"]
    finally:
        server.terminate()
        server.wait(timeout=30)
        server.stdout.close()


def log_in(browser: Browser, link: str) -> BrowserContext:
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.locator("main form button").last.click()
    page.wait_for_url(lambda address: "/join/" not in address and "/first/" not in address)
    return context


def addresses(session: BrowserContext, url: str) -> dict[str, str]:
    """Picture name -> address of the page."""
    api = f"{url}/api/v1"
    csrf = session.request.get(f"{api}/me").json()["csrf"]
    slugs: Mapping[str, str] = {
        campaign["kind"]: campaign["slug"]
        for campaign in session.request.get(f"{api}/campaigns").json()["campaigns"]
    }
    slug = slugs["pairwise"]
    snapshot = session.request.post(
        f"{api}/campaigns/{slug}/snapshots", headers={"X-CSRF-Token": csrf}, data={"name": SNAPSHOT}
    )
    assert snapshot.ok, snapshot.text()
    item = session.request.get(f"{api}/campaigns/{slug}/items").json()["items"][0]["id"]
    csv = b"question,reply_a,reply_b\nWhich sorting is stable?,Merge sort.,Quicksort.\n"
    uploaded = session.request.post(
        f"{api}/uploads?describe_later=true",
        headers={"X-CSRF-Token": csrf},
        multipart={"file": {"name": "replies.csv", "mimeType": "text/csv", "buffer": csv}},
    )
    assert uploaded.ok, uploaded.text()
    upload = uploaded.json()["id"]
    return {
        **{f"label-{kind}": f"/c/{kind_slug}/label" for kind, kind_slug in sorted(slugs.items())},
        "campaigns": "/campaigns",
        "dashboard": f"/c/{slug}",
        "people": f"/c/{slug}/people",
        "guidelines": f"/c/{slug}/guidelines",
        "items": f"/c/{slug}/items",
        "item": f"/c/{slug}/items/{item}",
        "snapshots": f"/c/{slug}/snapshots",
        "snapshot": f"/c/{slug}/snapshots/{SNAPSHOT}",
        "settings-chat": f"/c/{slugs['chat']}/settings",
        "new": "/new",
        "new-chat": "/new/task?kind=chat",
        "new-columns": f"/new/columns?upload={upload}",
        "new-pairwise": f"/new/task?kind=pairwise&upload={upload}&map=prompt%3Dquestion"
        "&map=completions.0%3Dreply_a&map=completions.1%3Dreply_b",
        "add": f"/c/{slug}/add",
        "webhooks": "/webhooks",
        "everybody": "/people",
        "answers": f"/c/{slug}/answers",
        "work": "/work",
        "me": "/me",
        "artifact": "/artifacts/model/helpful",
        "runs": "/runs",
        "run": f"/runs/{RUN}",
        "lineage": "/lineage/model/helpful",
    }


def take_picture(page: Page, address: str, picture: Path) -> None:
    response = page.goto(address)
    assert response is not None and response.ok, f"{address}: {response and response.status}"
    page.locator("body:not(.label), body[data-ready]").wait_for(state="attached")
    page.wait_for_timeout(800)  # until a task is loaded and curves are drawn
    page.screenshot(path=picture)
    print(picture)


# ---------------------------------------------------------------- a run and its artifacts


def add_artifacts(project: Project) -> None:
    """Adds models, datasets and a run: enough for curves and a lineage graph."""
    base = _artifact(project, "model", "base", metrics={})
    demonstrations = _artifact(project, "dataset", "demonstrations", metrics={"rows": 240})
    sft = _artifact(project, "model", "sft", base, demonstrations, metrics={"loss": 1.21})
    comparisons = _artifact(project, "dataset", "comparisons", metrics={"rows": 310})
    helpful = _artifact(project, "model", "helpful", sft, comparisons, metrics={"accuracy": 0.71})
    folder = project.runs / RUN
    folder.mkdir(parents=True)
    inputs = {
        "model": {"ref": "sft", "name": "model/sft", "digest": sft.manifest.digest},
        "comparisons": {
            "ref": "comparisons",
            "name": "dataset/comparisons",
            "digest": comparisons.manifest.digest,
        },
    }
    config = {"name": "helpful", "beta": 0.1, "lr": 5e-5, "batch": 16, "steps": 120, "seed": 0}
    (folder / "config.json").write_text(
        json.dumps({"recipe": "dpo", "config": config, "inputs": inputs, "code": {"version": "0.1.0"}})
    )
    rows = [
        {"step": k, "loss": 0.3 + 0.39 / (1 + k / 25), "accuracy": 0.5 + 0.22 * k / (k + 30)}
        for k in range(1, 121)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    events: list[dict[str, Any]] = [
        {"at": "2026-03-01T10:00:00+00:00", "event": "opened", "checkpoint": None},
        {
            "at": "2026-03-01T10:06:40+00:00",
            "event": "finished",
            "artifact": helpful.label,
            "digest": helpful.manifest.digest,
        },
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))


def _artifact(
    project: Project, kind: str, name: str, *parents: Artifact, metrics: dict[str, Any]
) -> Artifact:
    def fill(folder: Path) -> None:
        (folder / "content.txt").write_text(name)

    parent_records = [
        Parent(parent.label, parent.manifest.digest, parent.manifest.kind) for parent in parents
    ]
    provenance = Provenance(parents=parent_records, config={}, seed=0, metrics=metrics)
    return publish_artifact(project, kind, name, provenance, fill=fill)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
