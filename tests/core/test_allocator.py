import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from fairlead.core.allocator import keep_freed_pages
if sys.argv[1] == "kept":
    assert keep_freed_pages()
def step():
    blocks = [bytearray(8 << 20) for _ in range(8)]  # cleared, so every page is touched
    del blocks
step(); step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc only")
def test_pages_are_fetched_once_and_not_in_every_step() -> None:
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("default", "kept")
    }
    assert faults["kept"] < faults["default"] / 10
