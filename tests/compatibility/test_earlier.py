"""A project and a studio database of Fairlead 0.1.0 (before configurations had tables) still open and work.

README.md in this folder says how the two files were made.
"""

import gzip
import json
import shutil
import tarfile
from pathlib import Path

import pytest

import web
from fairlead.core import jsonl
from fairlead.labels import schema
from fairlead.labels.database import open_database
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from outcome import Cli

HERE = Path(__file__).parent
SFT = (
    "demonstrations=data/demonstrations.jsonl",
    "batch=4",
    "held_out=0",
    "rank=4",
    "epochs=8",
    "checkpoints.every=2",
)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The project's folder, with the studio's database inside."""
    with tarfile.open(HERE / "project-0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "project"
    with gzip.open(HERE / "studio-0.1.0.db.gz") as packed, open(root / "studio.db", "wb") as database:
        shutil.copyfileobj(packed, database)
    return root


def train(cli: Cli, root: Path, *words: str) -> dict[str, object]:
    trained = cli("train", *words, "--project", root, "--json")
    assert trained.code == 0, trained.err
    facts: dict[str, object] = json.loads(trained.out)
    return facts


def test_artifacts_verify(earlier: Path, cli: Cli) -> None:
    for artifact in ("model/aligned", "model/dpo", "reward-model/reward"):
        assert cli("lineage", "verify", artifact, "--project", earlier).code == 0


@pytest.mark.parametrize("run", ["sft-half", "reward-reward", "dpo-dpo", "ppo-aligned"])
def test_reports_of_earlier_runs_can_be_made(earlier: Path, cli: Cli, run: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert cli("report", run, "--out", page, "--project", earlier).code == 0
    assert "<svg" in page.read_text(encoding="utf-8")


def test_the_same_settings_find_the_finished_run(
    earlier: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(earlier)
    runs = sorted(folder.name for folder in (earlier / "runs").iterdir())
    words = ("dpo", "name=dpo", "model=sft", "comparisons=data/comparisons.jsonl", "batch=8", "held_out=0.2")
    facts = train(cli, earlier, *words, "adapter.rank=4", "beta=0.2")
    assert facts["made_before"] is True
    assert sorted(folder.name for folder in (earlier / "runs").iterdir()) == runs


def test_an_unfinished_run_resumes_and_ends_as_an_uninterrupted_one(
    earlier: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(earlier)
    facts = train(cli, earlier, "sft", "name=half", "model=base", *SFT)
    assert facts["resumed_from"] == 6
    [half], [whole] = (list(earlier.glob(f"runs/sft-{name}-*/metrics.jsonl")) for name in ("half", "whole"))
    resumed, uninterrupted = ([row for _, row in jsonl.read(path)] for path in (half, whole))
    assert [row["step"] for row in resumed] == [row["step"] for row in uninterrupted] == list(range(1, 49))
    for name in (
        "loss",
        "grad_norm",
    ):  # another processor may round the last bits of a float32 in another way
        expected = [row[name] for row in uninterrupted]
        assert [row[name] for row in resumed] == pytest.approx(expected, abs=2e-4)


def test_earlier_models_can_be_trained_further(
    earlier: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(earlier)
    words = (
        "model=aligned",
        "comparisons=data/comparisons.jsonl",
        "batch=8",
        "held_out=0.2",
        "adapter.rank=4",
    )
    train(cli, earlier, "dpo", "name=next", *words)
    train(cli, earlier, "reward", "name=second", *words)


# ---------------------------------------------------------------- the studio


@pytest.mark.parametrize("kind", ["pairwise", "rating"])
def test_snapshots_hold_the_same_rows(earlier: Path, cli: Cli, kind: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    snapshot = cli(
        "studio", "snapshot", f"helpful-{kind}", "--name", "again", "--out", rows, "--project", earlier
    )
    assert snapshot.code == 0, snapshot.err
    assert rows.read_text(encoding="utf-8") == (HERE / f"snapshot-{kind}.jsonl").read_text(encoding="utf-8")


def test_no_event_is_changed_by_the_upgrade(earlier: Path, cli: Cli) -> None:
    assert cli("studio", "verify", "--project", earlier).code == 0


def test_people_log_in_and_go_on(earlier: Path) -> None:
    database = open_database(f"sqlite:///{earlier / 'studio.db'}")
    schema.upgrade(database)  # as `fairlead studio serve` does first
    app = create_app(Settings(database="unused", project=earlier), database)
    olga = web.stranger(app)
    body = {"email": "olga@example.org", "password": "correct horse battery"}
    session = olga.post("/api/v1/session", json=body, headers={"Origin": web.ORIGIN})
    assert session.status_code == 200, session.text
    assert len(olga.get("/api/v1/campaigns").json()["campaigns"]) == 9
    for page in (
        "/campaigns",
        "/c/helpful-pairwise",
        "/c/helpful-chat/items",
        "/c/helpful-edit/snapshots",
        "/runs",
    ):
        assert olga.get(page, follow_redirects=True).status_code == 200
    database.close()
