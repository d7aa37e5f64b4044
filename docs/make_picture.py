"""A picture of the top of a report, for the README.  Usage: python docs/make_picture.py REPORT.html OUT.png"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


def main(report: Path, out: Path) -> None:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=found,
            args=ARGUMENTS,
            device_scale_factor=1.5,
            viewport={"width": 1180, "height": 1500},
        )
        page = context.new_page()
        page.goto(report.resolve().as_uri())
        page.screenshot(path=out)
        context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
