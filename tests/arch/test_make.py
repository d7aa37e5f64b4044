"""`make` targets where a package cannot be installed."""

import os
import shutil
import subprocess

import pytest
from repository import ROOT

MAKE = shutil.which("make")


@pytest.mark.skipif(MAKE is None, reason="there is no make")
@pytest.mark.parametrize(
    ("ci", "fails", "said"), [("", False, "is left out"), ("true", True, "must be compared")]
)
def test_a_missing_oracle_fails_only_where_ci_is_set(ci: str, fails: bool, said: str) -> None:
    without_trl = [str(MAKE), "-C", str(ROOT), "--assume-old=.venv/.test", "PIP=false", "test-oracle"]
    done = subprocess.run(
        without_trl, env=os.environ | {"CI": ci}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode != 0) is fails
    assert said in done.stdout + done.stderr
