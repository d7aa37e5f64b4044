"""Where the `fairlead` command starts: a Ctrl-C while modules are imported is no traceback."""

import sys

STOPPED = "Stopped. Run the same command again to go on."


def run() -> None:
    """Entry point of `fairlead` and of `python -m fairlead`."""
    try:
        from fairlead.cli import app
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(130)
    app.run()
