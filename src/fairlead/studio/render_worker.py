"""The process that renders Markdown for `render_pool`: reads texts on standard input, writes HTML.

It ends with its input.
"""

import os
import resource
import signal
import sys

from fairlead.studio import render_pool, safe_html

MAX_MEMORY = 1 << 30  # bytes


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which ends this process
    os.nice(10)  # saves come first
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    while (text := render_pool.read(sys.stdin.buffer)) is not None:
        try:
            html = safe_html.render_here(text)
        except (MemoryError, RecursionError):
            html = safe_html.plain(text)
        render_pool.write(sys.stdout.buffer, html)


if __name__ == "__main__":
    main()
