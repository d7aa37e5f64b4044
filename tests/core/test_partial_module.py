import sys
from pathlib import Path

import pytest

from fairlead.core.partial_module import load_names

SOURCE = """
import json
import fairlead.no_such_module
from collections import OrderedDict, no_such_name
from dataclasses import dataclass

SIZES = (1, 2)
LARGEST: int = max(SIZES)
UNUSED = no_such_name()


@dataclass(frozen=True)
class Config:
    size: int = LARGEST  # how large

    def text(self) -> str:
        return written(self.size)


def written(size: int) -> str:
    return json.dumps({"size": size, "kind": OrderedDict.__name__})
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "sample_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return "sample_module"


def test_only_what_the_names_need_is_executed(module: str) -> None:
    loaded = load_names(module, ["Config"])
    assert loaded.Config().text() == '{"size": 2, "kind": "OrderedDict"}'
    assert not hasattr(loaded, "UNUSED")
    assert module not in sys.modules


def test_the_module_is_loaded_once(module: str) -> None:
    assert load_names(module, ["SIZES"]) is load_names(module, ["SIZES"])
    assert load_names(module, ["LARGEST"]).LARGEST == 2


def test_an_error_in_the_source_is_raised_again_the_next_time(module: str) -> None:
    for _ in range(2):
        with pytest.raises(ImportError):
            load_names(module, ["UNUSED"])
