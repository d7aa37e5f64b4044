"""Runs and artifacts of a project, also forged ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.store.artifact import Artifact, Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project


@pytest.fixture
def home(tmp_path: Path) -> Project:
    return create_project(tmp_path / "project")


def make_run(
    home: Project,
    name: str = "ppo-aligned-0123456789",
    *,
    steps: int = 30,
    finished: str | None = None,
    **config: Any,
) -> Path:
    folder = home.runs / name
    folder.mkdir(parents=True)
    asked = {
        "recipe": "ppo",
        "config": {"name": "aligned", "lr": 1e-4, "steps": 40, **config},
        "inputs": {"model": {"ref": "sft", "name": "model/sft", "digest": "sha256:" + "1" * 64}},
        "code": {"version": "0.1.0", "commit": "a" * 40},
    }
    (folder / "config.json").write_text(json.dumps(asked))
    rows = [{"step": k, "reward": k / 10, "kl": 0.1 * k} for k in range(1, steps + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    happened: list[dict[str, Any]] = [
        {"at": "2026-03-01T10:00:00+00:00", "event": "opened", "checkpoint": None}
    ]
    if finished:
        happened.append(
            {
                "at": "2026-03-01T11:00:00+00:00",
                "event": "finished",
                "artifact": finished,
                "digest": "sha256:" + "2" * 64,
            }
        )
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in happened))
    (folder / ".lock").touch()
    return folder


SCRIPT = "<script>document.title='owned'</script>"


HOSTILE = f"{SCRIPT}<img src=x onerror=alert(1)> \u202eback\x07"


def make_artifact(
    home: Project,
    kind: str,
    name: str,
    *parents: Artifact,
    config: dict[str, Any] | None = None,
    **metrics: Any,
) -> Artifact:
    def fill(folder: Path) -> None:
        (folder / "rows.jsonl").write_text(name)

    above = [Parent(one.label, one.manifest.digest, one.manifest.kind) for one in parents]
    return publish_artifact(
        home, kind, name, Provenance(parents=above, config=config or {}, seed=0, metrics=metrics), fill=fill
    )


def forge(home: Project, name: str, digest: str, *parents: str) -> None:
    """A manifest as nobody's command writes it: digests are what the forger likes."""
    folder = home.artifacts / "model" / name
    folder.mkdir(parents=True)
    manifest = {
        "kind": "model",
        "name": name,
        "digest": digest,
        "config": {},
        "code": {},
        "seed": 0,
        "created_at": HOSTILE,
        "metrics": {},
        "run": None,
        "files": {},
        "parents": [{"name": f"model/{HOSTILE}", "digest": parent, "role": HOSTILE} for parent in parents],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
