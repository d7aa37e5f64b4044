"""Put a Chromium on this machine for the browser tests, unless there is one: Debian's packages for root, else
Playwright's own.

The headless shell is the same engine without the windows of a desktop: a test's new window takes a quarter of
the processor time.
"""

import os
import shutil
import subprocess
import sys

SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> str | None:
    """The Chromium on the path; the headless shell if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _install_package(name: str) -> None:
    subprocess.run(["apt-get", "install", "-y", "-q", name], check=False, stdout=subprocess.DEVNULL)


def main() -> None:
    if shutil.which(SHELL):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        _install_package(SHELL)
        if not installed():
            _install_package("chromium")
    elif not installed():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if not installed():
        print(
            "No Chromium on the path: the browser tests use Playwright's own where there is one, or "
            "skip and say so."
        )


if __name__ == "__main__":
    main()
