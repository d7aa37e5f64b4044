"""How the OpenMP threads of one operation wait for each other.

PyTorch splits an operation over OpenMP threads, which meet at a barrier when they are done.  By default the
threads of libgomp spin at this barrier for milliseconds.  Spinning is fastest on an idle machine.  On a busy
machine the spinning threads take time from the thread that has not finished.  `train/threads.py` chooses the
number of threads.
"""

import os
from collections.abc import MutableMapping

SPIN_COUNT = "3000"  # as fast as the default on an idle machine, 2 to 3 times faster on a busy one
# OpenMP's own settings for how threads wait.  A user who set one of them keeps it.
WAIT_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Make waiting threads sleep soon; returns whether the setting was changed.

    Call this before torch is imported.
    """
    if any(name in environment for name in WAIT_SETTINGS):
        return False
    environment["GOMP_SPINCOUNT"] = SPIN_COUNT
    return True
