"""`python -m fairlead`: the same as the `fairlead` command, so that launchers such as torchrun can start it."""

from fairlead.cli.app import run

if __name__ == "__main__":
    run()
