"""Install nginx and Caddy for the tests where they are missing: Debian packages as root, otherwise advice."""

import os
import shutil
import subprocess

from proxies import Proxy, program

PACKAGES: dict[Proxy, str] = {"nginx": "nginx-light", "caddy": "caddy"}


def main() -> None:
    missing = [name for name in PACKAGES if program(name) is None]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        # The tests start proxies of their own: the packages' services would only take ports.
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        for name in missing:
            subprocess.run(
                ["apt-get", "install", "-y", "-q", PACKAGES[name]],
                check=False,
                stdout=subprocess.DEVNULL,
                env=quiet,
            )
    for name in PACKAGES:
        if program(name) is None:
            print(
                f"No {name} here: the tests of its example skip and say so."
                f" Install it (Debian: apt-get install {PACKAGES[name]})."
            )


if __name__ == "__main__":
    main()
