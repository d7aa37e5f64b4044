"""A real PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket there, gone at the end.

initdb and postgres refuse to run as root, so for root they run as the user `postgres`, or as `nobody` where
there is none.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SUPERUSER = "tester"
START_S = 30.0


def programs() -> Path | None:
    """The folder that has initdb and postgres: Debian keeps them off the path."""
    named = os.environ.get("FAIRLEAD_POSTGRES")
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    folders = (
        [Path(named)]
        if named
        else [*reversed(installed), *([Path(on_path).resolve().parent] if on_path else [])]
    )
    return next(
        (folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()),
        None,
    )


class Server:
    """A server that runs; `url(name)` is where its database of that name is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://{SUPERUSER}@/{name}?host={self.folder}"


@contextlib.contextmanager
def running(*, durable: bool = False, below: Path | None = None) -> Iterator[Server]:
    """A new server, whose folder is made below this one.  `durable`: every commit is on the disk before it is
    acknowledged, as it is where people work; slower.
    """
    found = programs()
    assert found is not None, "no PostgreSQL on this machine; tests/get_postgres.py says how to get one"
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg-", dir=below, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"
        made = _run(
            [
                found / "initdb",
                "-D",
                data,
                "-U",
                SUPERUSER,
                "--auth=trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            folder,
            user,
        )
        ended = made.wait(timeout=120)
        assert ended == 0, (folder / "log").read_text()
        settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "200"}
        if not durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        server = _run(
            [found / "postgres", "-D", data, *(f"--{key}={value}" for key, value in settings.items())],
            folder,
            user,
        )
        try:
            _wait(server, folder)
            yield Server(folder)
        finally:
            server.terminate()  # with connections open it would wait for them
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=2)
            if server.poll() is None:
                server.send_signal(2)  # closes them
                server.wait(timeout=30)


def _run(
    command: list[str | Path], folder: Path, user: pwd.struct_passwd | None
) -> "subprocess.Popen[bytes]":
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    try:
        if user is None:
            return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        return subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env=environment,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
    finally:
        os.close(log)


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    names = [entry.pw_name for entry in pwd.getpwall()]
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


def _wait(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    """The socket is there before the server answers: the last line of its pid file says when it does."""
    state = folder / "data" / "postmaster.pid"
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            if state.read_text().rstrip().endswith("ready"):
                return
        time.sleep(0.02)
    raise AssertionError("PostgreSQL did not start: " + (folder / "log").read_text())
