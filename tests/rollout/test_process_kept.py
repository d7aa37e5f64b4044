import os
import warnings
from pathlib import Path

import pytest
import torch

from fairlead.rollout.process_kept import process_kept
from fairlead.rollout.rules import load_rule

CHANGES = """
import os, warnings, torch
os.chdir("/")
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
warnings.simplefilter("error")
"""


def state() -> tuple[object, ...]:
    return os.getcwd(), torch.get_default_dtype(), torch.is_grad_enabled(), list(warnings.filters)


def test_a_rule_changes_nothing_of_the_process(tmp_path: Path) -> None:
    before = state()
    on_load, in_call = tmp_path / "load.py", tmp_path / "call.py"
    on_load.write_text(f"{CHANGES}\ndef scores(answers): return []\n")
    in_call.write_text(f"def scores(answers):\n    {CHANGES.strip().replace(chr(10), '; ')}\n    return []\n")
    load_rule(str(on_load))
    assert state() == before
    assert load_rule(str(in_call))([]) == []
    assert state() == before


def test_the_process_is_kept_after_an_error() -> None:
    before = state()
    with pytest.raises(ValueError, match="wrong"), process_kept():
        exec(CHANGES)
        raise ValueError("wrong")
    assert state() == before
