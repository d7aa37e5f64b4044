"""Artifacts and lineage graphs, read from untrusted manifests."""

from pathlib import Path

import pytest

from fairlead.store.artifact import Parent, Provenance, publish_artifact
from fairlead.store.project import Project
from fairlead.studio import artifact_views, graphs
from studio.projects import forge, make_artifact


def test_a_manifest_is_checked_again_only_when_it_has_changed(home: Project) -> None:
    made = make_artifact(home, "model", "aligned", loss=0.5)
    first = artifact_views.get(home, "model", "aligned")
    assert artifact_views.all_artifacts(home)[0][0] is artifact_views.get(home, "model", "aligned") is first
    manifest = made.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"loss": 0.5', '"loss": 0.25'))
    assert artifact_views.get(home, "model", "aligned").manifest.metrics == {"loss": 0.25}


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\xff" * 8,
        b"\x08" + bytes(7) + b"{",
        (1 << 40).to_bytes(8, "little"),
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_weights_that_are_none_are_no_facts(home: Project, weights: bytes) -> None:
    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(weights)

    made = publish_artifact(
        home, "model", "odd", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )
    assert artifact_views.detail(home, "model", made.manifest.name).facts == []


def test_what_is_missing_and_what_came_from_outside(home: Project) -> None:
    gone = make_artifact(home, "dataset", "gone")
    outside = Parent("hub:owner/name", "hub:owner/name", "model")
    above = [outside, Parent(gone.label, gone.manifest.digest, "data")]
    made = publish_artifact(
        home,
        "model",
        "made",
        Provenance(parents=above, config={}, seed=0, metrics={}),
        fill=lambda inside: None,
    )
    for file in gone.folder.iterdir():
        file.unlink()
    gone.folder.rmdir()
    found = artifact_views.graph(home, "model", made.manifest.name)
    assert {node.label: node.status for node in found.nodes} == {
        "hub:owner/name": "outside",
        "dataset/gone": "missing",
        "model/made": "present",
    }
    drawing = graphs.lineage(found)
    assert drawing.count("<path") == 2 and drawing.count("<a ") == 0


def test_a_long_history_is_cut_and_says_so(home: Project) -> None:
    one = make_artifact(home, "model", "m0")
    for k in range(1, artifact_views.MAX_NODES + 20):
        forge(home, f"m{k}", f"sha256:{k:08x}", one.manifest.digest if k == 1 else f"sha256:{k - 1:08x}")
    found = artifact_views.graph(home, "model", f"m{artifact_views.MAX_NODES + 19}")
    assert found.cut and len(found.nodes) <= artifact_views.MAX_NODES + 1
    assert graphs.lineage(found).count('class="node') == len(found.nodes)
