"""Put a Chromium on this machine for the browser tests, unless there is one: Debian's package for root, else
Playwright's own.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> str | None:
    """The Chromium on the path."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> None:
    if installed():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", "-q", "chromium"], check=False, stdout=subprocess.DEVNULL)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if not installed():
        print(
            "No Chromium on the path: the browser tests use Playwright's own where there is one, or "
            "skip and say so."
        )


if __name__ == "__main__":
    main()
