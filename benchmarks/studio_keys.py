"""Time from a key press to the next painted frame on the labelling screen, in Chromium.

run  python -m benchmarks.studio_keys --json build/keys.json

Two kinds of press are measured: choosing a step of the scale, and sending, which shows the next item.  The
time runs from the event's time stamp to the first task after the frame that the press changed.  A message
posted in an animation frame marks that task.  Sending counts only if the frame shows the next, prefetched
item.  Time on the main thread is reported separately.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks import studio
from fairlead.labels import credentials, members, people
from fairlead.labels.database import now, open_database
from fairlead.studio.auth import COOKIE

GOAL_MS = 50
PAUSE_MS = 120  # between presses
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
WATCH = """() => {
  window.paints = [];
  const shown = () => document.querySelector(".prompt .said")?.textContent;
  addEventListener("keydown", (event) => {
    const before = shown();
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        const ms = performance.now() - event.timeStamp;
        window.paints.push({ key: event.key, ms, next: shown() !== before });
      };
      port2.postMessage(0);
    });
  }, { capture: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presses", type=int, default=60, help="number of presses of each kind")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as name,
        studio.database_url("sqlite", Path(name)) as url,
        studio.serving(url, Path(name)) as [server],
    ):
        secret = labeller(url, args.presses + 5)
        with sync_playwright() as playwright:
            programs = ("chromium", "chromium-browser", "google-chrome")
            path = next(filter(None, map(shutil.which, programs)), None)
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            context.add_cookies([{"name": COOKIE, "value": secret, "url": server.url}])
            page = context.new_page()
            page.goto(f"{server.url}/c/storm/label")
            page.locator("body[data-ready]").wait_for()
            results = measure(page, args.presses)
            results["chromium"] = browser.version
            browser.close()
    studio.write_json(
        args.json, {"goal_p95_ms": GOAL_MS, "load": [round(load, 2), round(os.getloadavg()[0], 2)], **results}
    )


def labeller(url: str, num_items: int) -> str:
    """The session secret of a labeller with `num_items` items to judge."""
    campaign = studio.make_campaign(url, num_items=num_items, overlap=1)
    opened = open_database(url)
    with opened.write() as connection:
        rater = people.add(connection, name="Ada", by="system")
        members.join(connection, rater, campaign.id, "labeller", by="system")
        secret = credentials.start_session(connection, rater, days=1, at=now())
    opened.close()
    return secret


def measure(page: Page, presses: int) -> dict[str, Any]:
    page.evaluate(WATCH)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked_ms() -> float:
        metrics = {
            entry["name"]: entry["value"] for entry in devtools.send("Performance.getMetrics")["metrics"]
        }
        return 1000 * float(metrics["TaskDuration"])

    worked: dict[str, list[float]] = {"choose": [], "send_and_next": []}
    for number in range(presses):
        for kind, key in (("choose", str(1 + number % 8)), ("send_and_next", "Enter")):
            began = worked_ms()
            page.keyboard.press(key)
            page.wait_for_timeout(PAUSE_MS)
            worked[kind].append(worked_ms() - began)
    paints = page.evaluate("window.paints")
    sent = [entry for entry in paints if entry["key"] == "Enter"]
    wall = {
        "choose": [entry["ms"] for entry in paints if entry["key"] != "Enter"],
        "send_and_next": [entry["ms"] for entry in sent if entry["next"]],
    }
    return {
        **{f"{kind}_paint_ms": spread(values) for kind, values in wall.items()},
        **{f"{kind}_main_thread_ms": spread(values) for kind, values in worked.items()},
        "sent_without_a_next_item": len(sent) - len(wall["send_and_next"]),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {
        "n": len(values),
        **{
            name: round(studio.percentile(values, share), 1)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1))
        },
    }


if __name__ == "__main__":
    main()
