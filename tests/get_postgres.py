"""Put a PostgreSQL server on this machine for the tests, unless there is one: Debian's package for root, else
says what to do.
"""

import os
import shutil
import subprocess

from postgres import programs


def main() -> None:
    if programs() is not None:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        # The tests start a server of their own: the package's would only take a port.
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "postgresql"],
            check=False,
            stdout=subprocess.DEVNULL,
            env=quiet,
        )
    if programs() is None:
        print(
            "No PostgreSQL here: half of the studio's tests skip and say so; with CI set they fail."
            " Install it (Debian: apt-get install postgresql) or set FAIRLEAD_POSTGRES to the folder "
            "that has initdb and postgres."
        )


if __name__ == "__main__":
    main()
