"""The documented example on real preference data, shortened: examples/hh with a model of 260 k parameters."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli import app

SHARED = Path(os.environ.get("FAIRLEAD_SHARED", Path(__file__).parents[3] / "shared"))
EXAMPLE = Path(__file__).parents[2] / "examples" / "hh"
NUM_ROWS = 240

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SHARED.is_dir(),
        reason=f"no real data at {SHARED}; set FAIRLEAD_SHARED to the folder that holds data/ and models/",
    ),
]


def hh(folder: Path) -> Path:
    path = folder / "pairs.jsonl"
    with gzip.open(SHARED / "data/hh_harmless/pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        path.write_text(
            "".join(line for _, line in zip(range(NUM_ROWS), file, strict=False)), encoding="utf-8"
        )
    return path


def instructions(folder: Path) -> Path:
    path = folder / "pairs.json"
    rows = json.loads(
        (SHARED / "data/instructions/instruction-data-with-preference.json").read_text(encoding="utf-8")
    )
    path.write_text(json.dumps(rows[:NUM_ROWS]), encoding="utf-8")
    return path


@pytest.mark.parametrize("write", [hh, instructions])
def test_real_preferences_go_through_the_whole_chain(
    write: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, model = write(tmp_path), SHARED / "models/stories260k"
    home = tmp_path / "project"
    assert app.call(["init", str(home)]) == 0
    monkeypatch.chdir(home)
    assert app.call(["data", "import", str(source), "--drop", "--out", "data/comparisons.jsonl"]) == 0
    assert app.call(["data", "check", "data/comparisons.jsonl"]) == 0
    assert (
        app.call(
            [
                "data",
                "import",
                "data/comparisons.jsonl",
                "--kind",
                "demonstration",
                "--out",
                "data/demonstrations.jsonl",
            ]
        )
        == 0
    )
    words = [f"model={model}", "template.file=plain"]  # a base model without a chat template
    assert app.call(["train", "sft", str(EXAMPLE / "sft.toml"), *words]) == 0
    capsys.readouterr()
    assert app.call(["train", "reward", str(EXAMPLE / "reward.toml"), "model=sft", "epochs=1", "--json"]) == 0
    evidence = json.loads(capsys.readouterr().out)["metrics"]
    for name in ("accuracy", "length_only", "bag_of_words"):
        assert 0 <= evidence[name]["low"] <= evidence[name]["value"] <= evidence[name]["high"] <= 1
        assert evidence[name]["n"] == evidence["held_out"] > 20
    assert app.call(["train", "dpo", str(EXAMPLE / "dpo.toml"), "model=sft"]) == 0
    assert app.call(["lineage", "verify"]) == 0
