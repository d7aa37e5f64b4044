"""Keep the process as it is while a user's rule runs.

A rule may change the working folder or torch's settings.  A command reads paths relative to the folder in
which it was started, and training needs gradients and float32.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def process_kept() -> Iterator[None]:
    """Restore the working folder, the filters of warnings, and whether and in which type torch computes."""
    folder = os.getcwd()
    dtype = torch.get_default_dtype()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()), warnings.catch_warnings():
            yield
    finally:
        torch.set_default_dtype(dtype)
        os.chdir(folder)
