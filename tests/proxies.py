"""Real proxies in front of a studio, configured by the examples of the documentation."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Proxy = Literal["nginx", "caddy"]

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "running-a-studio.md"
START_S = 20.0
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{example}
}}
"""


def program(name: Proxy) -> str | None:
    """Debian keeps nginx off the path of ordinary users."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def example(name: Proxy) -> str:
    """The example for a studio under /labels."""
    language = {"nginx": "nginx", "caddy": "caddyfile"}[name]
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    [block_of_labels] = [block for block in blocks if "/labels" in block]
    return block_of_labels


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def running(name: Proxy, folder: Path, *, port: int, studio_port: int) -> Iterator[None]:
    """The proxy of the example, but without https, on another port and before another studio."""
    binary = program(name)
    assert binary is not None, f"no {name} on this machine; tests/get_proxies.py says how to get one"
    folder.mkdir()
    text = example(name).replace("127.0.0.1:8400", f"127.0.0.1:{studio_port}")
    if name == "nginx":
        config = folder / "nginx.conf"
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
        config.write_text(NGINX.format(folder=folder, example=text))
        command = [binary, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    else:
        config = folder / "Caddyfile"
        text = text.replace("example.org {", f"http://127.0.0.1:{port} {{", 1)
        config.write_text("{\n admin off\n auto_https off\n}\n" + text)
        command = [binary, "run", "--adapter", "caddyfile", "--config", str(config)]
    log = folder / "output.log"
    with open(log, "wb") as output:
        environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        environment["XDG_CONFIG_HOME"] = str(folder)
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        end = time.monotonic() + START_S
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)
