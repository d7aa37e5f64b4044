import os
import subprocess
import sys

from fairlead.core import threads


def test_waiting_threads_sleep_soon() -> None:
    environment: dict[str, str] = {}
    assert threads.limit_spinning(environment)
    assert environment == {"GOMP_SPINCOUNT": "3000"}


def test_a_users_own_setting_is_kept() -> None:
    for name in threads.WAIT_SETTINGS:
        environment = {name: "7"}
        assert not threads.limit_spinning(environment)
        assert environment == {name: "7"}


def test_the_command_limits_spinning_before_torch_is_loaded() -> None:
    program = """
import os, sys
from fairlead.cli import app
app.call = lambda words: print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules) or 0
app.run()
"""
    environment = {name: value for name, value in os.environ.items() if name not in threads.WAIT_SETTINGS}
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert finished.stdout.split() == ["3000", "False"]
