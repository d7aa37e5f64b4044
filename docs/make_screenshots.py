"""Pictures of the studio for its documentation: every kind of task and the pages of leads; light and dark, wide and phone.

Usage: PYTHONPATH=tests python docs/make_screenshots.py build/screenshots [NAME …]        all, or those whose names begin so

Starts `fairlead studio serve --demo` on a project of its own, in which a run and some artifacts were put, lets the colleagues work
for a while, freezes a snapshot, and looks at the pages with Chromium.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import get_chromium
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fairlead.store.artifact import publish_artifact
from fairlead.store.project import create_project
from fairlead.store.artifact import Artifact, Parent
from fairlead.store.project import Project

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
COLLEAGUES_WORK_S = 20
SNAPSHOT = "helpful-1"
RUN = "dpo-helpful-2f61c0ffee"


def main(out: Path, wanted: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        demo(Path(name) / "project") as (url, link),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=get_chromium.installed(), args=ARGUMENTS)
        session = log_in(browser, link)
        pages = addresses(session, url)
        session.pages[0].wait_for_timeout(COLLEAGUES_WORK_S * 1000)
        state = session.storage_state()
        for scheme in ("light", "dark"):
            for size, screen in (("wide", WIDE), ("phone", PHONE)):
                context = browser.new_context(
                    storage_state=state, color_scheme=scheme, device_scale_factor=1.5, **screen
                )
                page = context.new_page()
                for title, address in pages.items():
                    picture = f"{title}-{scheme}-{size}.png"
                    if not wanted or any(picture.startswith(each) for each in wanted):
                        shoot(page, url + address, out / picture)
                context.close()
        browser.close()


@contextmanager
def demo(folder: Path) -> Iterator[tuple[str, str]]:
    """Address of a running demo, and the link that logs in."""
    furnish(create_project(folder))
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
        said = json.loads(server.stdout.readline())
        yield said["url"], said["first_url"]
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
    """Name of a picture -> page."""
    api = f"{url}/api/v1"
    csrf = session.request.get(f"{api}/me").json()["csrf"]
    slugs: Mapping[str, str] = {
        one["kind"]: one["slug"] for one in session.request.get(f"{api}/campaigns").json()["campaigns"]
    }
    here = slugs["pairwise"]
    frozen = session.request.post(
        f"{api}/campaigns/{here}/snapshots", headers={"X-CSRF-Token": csrf}, data={"name": SNAPSHOT}
    )
    assert frozen.ok, frozen.text()
    item = session.request.get(f"{api}/campaigns/{here}/items").json()["items"][0]["id"]
    return {
        **{f"label-{kind}": f"/c/{slug}/label" for kind, slug in sorted(slugs.items())},
        "campaigns": "/campaigns", "dashboard": f"/c/{here}", "people": f"/c/{here}/people", "guidelines": f"/c/{here}/guidelines",
        "items": f"/c/{here}/items", "snapshots": f"/c/{here}/snapshots", "snapshot": f"/c/{here}/snapshots/{SNAPSHOT}", "new": "/new",
        "work": "/work", "item": f"/c/{here}/items/{item}", "settings-chat": f"/c/{slugs['chat']}/settings",
        "new-chat": "/new/task?kind=chat", "artifact": "/artifacts/model/helpful",
        "runs": "/runs", "run": f"/runs/{RUN}", "lineage": "/lineage/model/helpful",
    }  # fmt: skip


def shoot(page: Page, address: str, picture: Path) -> None:
    answer = page.goto(address)
    assert answer is not None and answer.ok, f"{address}: {answer.status if answer else 'no answer'}"
    page.locator("body:not(.label), body[data-ready]").wait_for(state="attached")
    page.wait_for_timeout(800)  # a task is fetched, curves are drawn
    page.screenshot(path=picture)
    print(picture)


# ---------------------------------------------------------------- a run and what it was made of


def furnish(project: Project) -> None:
    """A base model, demonstrations, a fine-tuned model, and a run that made another of it: enough for curves and a graph."""
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
    happened: list[dict[str, Any]] = [
        {"at": "2026-03-01T10:00:00+00:00", "event": "opened", "checkpoint": None},
        {
            "at": "2026-03-01T10:06:40+00:00",
            "event": "finished",
            "artifact": helpful.label,
            "digest": helpful.manifest.digest,
        },
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in happened))


def _artifact(
    project: Project, kind: str, name: str, *parents: Artifact, metrics: dict[str, Any]
) -> Artifact:
    def fill(folder: Path) -> None:
        (folder / "content.txt").write_text(name)

    above = [Parent(one.label, one.manifest.digest, one.manifest.kind) for one in parents]
    return publish_artifact(
        project, kind, name, fill=fill, parents=above, config={}, seed=0, metrics=metrics
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
