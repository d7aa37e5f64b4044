"""Takes a picture of the top of a report, for the README.

Usage: python docs/make_picture.py REPORT.html OUT.png
"""

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

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(report: Path, picture: Path) -> None:
    installed = [shutil.which(name) for name in BROWSERS]
    browser_path = next(filter(None, installed), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=browser_path,
            args=ARGUMENTS,
            device_scale_factor=1.5,
            viewport={"width": 1180, "height": 1500},
        )
        page = context.new_page()
        page.goto(report.resolve().as_uri())
        page.screenshot(path=picture)
        context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
