"""The process that renders Markdown for `render_pool`: reads texts on standard input, writes HTML.

Each message is a length of 4 bytes and so many bytes of UTF-8.  The process ends with its input.
"""

import os
import signal
import struct
import sys
from typing import IO

MAX_MEMORY = 1 << 30  # bytes
LENGTH = struct.Struct(">I")


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which ends this process
    os.nice(10)  # saves come first
    import resource  # not on Windows, where a server imports this module too

    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    from fairlead.studio import safe_html

    while (text := read(sys.stdin.buffer)) is not None:
        try:
            html = safe_html.render_here(text)
        except (MemoryError, RecursionError):
            html = safe_html.plain(text)
        write(sys.stdout.buffer, html)


def read(stream: IO[bytes]) -> str | None:
    """The next text; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = stream.read(length)
    return body.decode("utf-8", "surrogatepass") if len(body) == length else None


def write(stream: IO[bytes], text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
