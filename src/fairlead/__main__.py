"""`python -m fairlead`: the `fairlead` command, for launchers such as torchrun."""

from fairlead.cli.start import run

if __name__ == "__main__":
    run()
