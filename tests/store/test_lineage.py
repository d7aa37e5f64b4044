import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import ProjectError
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project

FILE = Parent("file:data/raw.jsonl", "sha256:" + "1" * 64, "source")
HUB = Parent("hub:owner/base", "hub:owner/base", "model")


def publish(project: Project, kind: str, name: str, *parents: Parent) -> Artifact:
    def fill(folder: Path) -> None:
        (folder / "content").write_text(f"{kind}/{name}")

    return publish_artifact(
        project, kind, name, Provenance(parents=parents, config={}, seed=0, metrics={}), fill=fill
    )


def of(artifact: Artifact, role: str) -> Parent:
    return Parent(artifact.label, artifact.manifest.digest, role)


def family(project: Project) -> dict[str, Artifact]:
    pairs = publish(project, "dataset", "pairs", FILE)
    sft = publish(project, "model", "sft", of(pairs, "demonstrations"), HUB)
    reward = publish(project, "reward-model", "judge", of(pairs, "comparisons"), of(sft, "model"))
    dpo = publish(project, "model", "dpo", of(pairs, "comparisons"), of(sft, "model"))
    return {"pairs": pairs, "sft": sft, "reward": reward, "dpo": dpo}


def test_ancestors_go_back_to_what_came_from_outside(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    root = lineage.ancestors(project, made["dpo"])
    assert (root.label, root.role, root.status, root.artifact) == ("model/dpo", "", "present", made["dpo"])
    pairs, sft = root.parents
    assert (pairs.label, pairs.role, pairs.status, pairs.artifact) == (
        "dataset/pairs",
        "comparisons",
        "present",
        made["pairs"],
    )
    assert [(node.label, node.role, node.status, node.parents) for node in pairs.parents] == [
        ("file:data/raw.jsonl", "source", "outside", ())
    ]
    assert [(node.label, node.status) for node in sft.parents] == [
        ("dataset/pairs", "present"),
        ("hub:owner/base", "outside"),
    ]


def test_the_tree_is_drawn_once_for_each_history(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    short = {name: artifact.manifest.digest[:17] for name, artifact in made.items()}
    assert lineage.render_text(lineage.ancestors(project, made["dpo"])) == (
        f"model/dpo  {short['dpo']}\n"
        f"  comparisons: dataset/pairs  {short['pairs']}\n"
        f"    source: file:data/raw.jsonl  sha256:1111111111  (outside)\n"
        f"  model: model/sft  {short['sft']}\n"
        f"    demonstrations: dataset/pairs  {short['pairs']}  (as above)\n"
        f"    model: hub:owner/base  (outside)\n"
    )


def test_a_long_history_of_rounds_costs_its_length_and_not_its_paths(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    latest = publish(project, "model", "round-0")
    for number in range(1, 40):  # 2 parents, 39 rounds: 2 ** 39 paths
        latest = publish(project, "model", f"round-{number}", of(latest, "policy"), of(latest, "reference"))
    assert lineage.render_text(lineage.ancestors(project, latest)).count("\n") == 1 + 2 * 39


def test_a_removed_parent_is_missing_and_a_parent_moved_to_another_name_is_not(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    shutil.rmtree(made["sft"].folder)
    node = lineage.ancestors(project, made["dpo"]).parents[1]
    assert (node.label, node.status, node.artifact, node.parents) == ("model/sft", "missing", None, ())
    assert "model: model/sft" in lineage.render_text(node) and "(missing)" in lineage.render_text(node)


def test_of_two_names_for_one_thing_the_one_that_was_used_is_shown(tmp_path: Path) -> None:
    project = create_project(tmp_path)

    def fill(folder: Path) -> None:
        (folder / "content").write_text("same")

    twins = [
        publish_artifact(
            project, "dataset", name, Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
        )
        for name in ("a", "b")
    ]
    child = publish(project, "model", "m", of(twins[1], "data"))
    assert lineage.ancestors(project, child).parents[0].label == "dataset/b"
    shutil.rmtree(twins[1].folder)
    assert lineage.ancestors(project, child).parents[0].label == "dataset/a"
    assert lineage.verify(project, child) == []


def test_an_untouched_project_verifies(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    assert lineage.verify(project, None) == []
    assert lineage.verify(project, made["dpo"]) == []


def test_a_change_is_told_of_all_that_came_from_it_and_of_nothing_else(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    (made["sft"].folder / "content").write_text("better")
    told = ["model/sft: content was changed."]
    assert lineage.verify(project, None) == told
    assert lineage.verify(project, made["dpo"]) == told
    assert lineage.verify(project, made["pairs"]) == []


def test_a_removed_parent_is_told(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    shutil.rmtree(made["sft"].folder)
    told = f"its model, model/sft ({made['sft'].manifest.digest[:17]}), is not in the project."
    assert lineage.verify(project, None) == [f"model/dpo: {told}", f"reward-model/judge: {told}"]
    assert lineage.verify(project, made["reward"]) == [f"reward-model/judge: {told}"]


def test_a_parent_made_again_with_other_content_is_another_one(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    shutil.rmtree(made["sft"].folder)
    publish(project, "model", "sft", HUB)
    assert len(lineage.verify(project, made["dpo"])) == 1


def edit(artifact: Artifact, **changes: Any) -> None:
    path = artifact.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_that_cannot_be_read_is_told_and_hides_nothing_else(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    (made["pairs"].folder / "manifest.json").unlink()
    (made["sft"].folder / "content").unlink()
    problems = lineage.verify(project, None)
    assert "dataset/pairs: not an artifact" in problems[0]
    assert "model/sft: content is missing." in problems
    assert len(problems) == 5  # and three children miss the pairs


def test_a_manifest_changed_by_hand_is_told_from_its_descendant(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    edit(made["sft"], parents=[])
    assert lineage.verify(project, made["dpo"]) == [
        "model/sft: manifest.json was changed; its digest does not match its contents."
    ]


def test_an_artifact_that_claims_to_be_its_own_ancestor_is_told(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    edit(
        made["pairs"], parents=[{"name": "model/sft", "digest": made["sft"].manifest.digest, "role": "model"}]
    )
    with pytest.raises(ProjectError, match="is its own ancestor"):
        lineage.ancestors(project, made["dpo"])
    assert len(lineage.verify(project, made["dpo"])) == 1
