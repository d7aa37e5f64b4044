"""Put a Chromium on this machine for the browser tests, unless there is one: Debian's package for root, else Playwright's own."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> None:
    if any(shutil.which(name) for name in NAMES):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", "-q", "chromium"], check=False, stdout=subprocess.DEVNULL)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if not any(shutil.which(name) for name in NAMES):
        print("No Chromium on the path: the browser tests use Playwright's own where there is one, or skip and say so.")


if __name__ == "__main__":
    main()
