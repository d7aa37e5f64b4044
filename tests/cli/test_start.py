"""The command from its first moment on."""

import subprocess
import sys

INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from fairlead.cli.start import run
run()
"""


def test_ctrl_c_while_modules_are_imported_is_no_traceback() -> None:
    process = subprocess.run([sys.executable, "-c", INTERRUPTED, "--version"], capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (130, "")
    assert process.stderr == "Stopped. Run the same command again to go on.\n"
