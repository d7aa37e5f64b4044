"""A reward model by its Hub name, from the local cache and without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from fairlead.model.reward_model import load_reward_model, new_reward_model
from fakes import save_model, turns

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
from fairlead.model.reward_model import load_reward_model
from fakes import turns
import torch
model = load_reward_model("owner/rm")
row = model.encode(turns("What is 3 plus 4?", "It is 7."))
with torch.no_grad():
    print(repr(model.network(torch.tensor([row.tokens])).logits.item()))
"""


def test_a_reward_model_of_the_hub_is_read_from_the_cache_offline(tmp_path: Path) -> None:
    made = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    made.save(tmp_path / "rm")
    cached = tmp_path / "cache" / "models--owner--rm"
    shutil.copytree(tmp_path / "rm", cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    local = load_reward_model(str(tmp_path / "rm"))
    row = local.encode(turns("What is 3 plus 4?", "It is 7."))
    with torch.no_grad():
        expected = local.network(torch.tensor([row.tokens])).logits.item()
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent / "src")])
    environment = os.environ | {
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": path,
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert abs(float(run.stdout) - expected) < 1e-6
