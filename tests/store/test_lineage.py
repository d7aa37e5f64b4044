import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import fairlead
from fairlead.core import digest
from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.encoding.built_in_templates import BUILT_IN
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, Parent, Provenance, publish_artifact
from fairlead.store.project import Project, create_project, load_project
from fairlead.store.resolve_inputs import resolve_input

FILE = Parent("file:data/raw.jsonl", digest.of_bytes(b"{}\n"), "source")
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
    (project.data / "raw.jsonl").write_text("{}\n")
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
        ("file:data/raw.jsonl", "source", "present", ())
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
        f"    source: file:data/raw.jsonl  {FILE.digest[:17]}\n"
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
    assert lineage.verify(project, child).problems == []


def test_an_untouched_project_verifies(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    assert lineage.verify(project, None).problems == []
    assert lineage.verify(project, made["dpo"]).problems == []


def test_a_change_is_told_of_all_that_came_from_it_and_of_nothing_else(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    (made["sft"].folder / "content").write_text("better")
    told = ["model/sft: content was changed."]
    assert lineage.verify(project, None).problems == told
    assert lineage.verify(project, made["dpo"]).problems == told
    assert lineage.verify(project, made["pairs"]).problems == []


def test_a_removed_parent_is_told(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    shutil.rmtree(made["sft"].folder)
    told = f"its model, model/sft ({made['sft'].manifest.digest[:17]}), is missing from the project. "
    told += "Make it again with the command that made it, or restore its folder."
    assert lineage.verify(project, None).problems == [f"model/dpo: {told}", f"reward-model/judge: {told}"]
    assert lineage.verify(project, made["reward"]).problems == [f"reward-model/judge: {told}"]


def test_a_parent_made_again_with_other_content_is_another_one(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    shutil.rmtree(made["sft"].folder)
    publish(project, "model", "sft", HUB)
    assert len(lineage.verify(project, made["dpo"]).problems) == 1


def edit(artifact: Artifact, **changes: Any) -> None:
    path = artifact.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_that_cannot_be_read_is_told_and_hides_nothing_else(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    (made["pairs"].folder / "manifest.json").unlink()
    (made["sft"].folder / "content").unlink()
    problems = lineage.verify(project, None).problems
    assert "dataset/pairs: not an artifact" in problems[0]
    assert "model/sft: content is missing." in problems
    assert len(problems) == 5  # and three children miss the pairs


def test_a_manifest_changed_by_hand_is_told_from_its_descendant(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = family(project)
    edit(made["sft"], parents=[])
    assert lineage.verify(project, made["dpo"]).problems == [
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
    assert len(lineage.verify(project, made["dpo"]).problems) == 1


def changes(project: Project, *parents: Parent) -> tuple[list[str], list[str]]:
    """Problems and unchecked inputs of an artifact with these parents."""
    verification = lineage.verify(project, publish(project, "model", "m", *parents))
    shutil.rmtree(project.artifacts / "model" / "m")
    return verification.problems, verification.not_checked


def resolved(project: Project, path: str) -> Parent:
    source = resolve_input(project, "data", Ref("dataset"), path)
    return Parent(source.name, source.digest, "data")


def test_a_data_file_that_changed_or_is_missing_is_told(tmp_path: Path) -> None:
    project = create_project(tmp_path / "p")
    for name in ("data/rows.jsonl", "rows.jsonl", "parts/a.jsonl"):
        path = project.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1\n")
    for name, file in (("data/rows.jsonl", "data/rows.jsonl"), ("rows.jsonl", "./rows.jsonl")):
        parent = resolved(project, name)
        assert parent.name == f"file:{file}"
        assert changes(project, parent) == ([], [])
        (project.root / name).write_text("2\n")
        assert changes(project, parent) == ([f"model/m: its data, file:{file}, was changed."], [])
        (project.root / name).unlink()
        assert changes(project, parent) == (
            [f"model/m: its data, file:{file}, is missing. Restore the file."],
            [],
        )
    folder = resolved(project, str(project.root / "parts"))
    assert changes(project, folder) == ([], [])
    (project.root / "parts" / "b.jsonl").write_text("1\n")
    assert changes(project, folder)[0] == ["model/m: its data, file:./parts, was changed."]


def test_an_input_from_outside_the_project_is_not_checked_and_says_so(tmp_path: Path) -> None:
    project = create_project(tmp_path / "p")
    (tmp_path / "rows.jsonl").write_text("1\n")
    outside = resolved(project, str(tmp_path / "rows.jsonl"))
    module = Parent("module:json", "sha256:" + "0" * 64, "judge")
    template = Parent("template:tool_use", "template:tool_use", "template")
    problems, not_checked = changes(project, outside, module, template, HUB)
    assert problems == []
    assert not_checked == [
        "model/m: its data, file:rows.jsonl, is outside the project, not checked.",
        "model/m: its judge, module:json, is outside the project, not checked.",
        "model/m: its model, hub:owner/base, is outside the project, not checked.",
        "model/m: its template, template:tool_use, is outside the project, not checked.",
    ]


def test_what_belongs_to_fairlead_is_compared_with_the_installed_one(tmp_path: Path) -> None:
    project = create_project(tmp_path / "p")
    (project.root / "maths.py").write_text("a file of this name is not the rule\n")
    rules = [
        resolve_input(project, "judge", Ref("reward-model"), f"rule:{target}")
        for target in ("maths", "regex=[0-9]+", "fairlead.simulate.gold")
    ]
    parents = [Parent(rule.name, rule.digest, "judge") for rule in rules]
    parents += [Parent(f"template:{name}", f"template:{name}", "template") for name in BUILT_IN]
    made = publish(project, "model", "m", *parents)
    verified = lineage.verify(project, made)
    assert (verified.problems, verified.not_checked) == ([], [])
    assert set(verified.built_in) == {
        f"model/m: its {parent.role}, {parent.name}, is part of Fairlead {fairlead.__version__}."
        for parent in parents
    }
    assert {node.status for node in lineage.ancestors(project, made).parents} == {"built-in"}
    gold = Parent("module:fairlead.simulate.gold", "sha256:" + "0" * 64, "judge")
    changed = publish(project, "model", "n", gold)
    (sentence,) = lineage.verify(project, changed).built_in
    assert f"; that of the installed Fairlead, {fairlead.__version__}, differs." in sentence


def test_a_rule_in_the_project_is_checked_and_so_is_a_model_outside_the_artifacts(tmp_path: Path) -> None:
    project = create_project(tmp_path / "p")
    package = project.root / "judges"
    package.mkdir()
    (package / "polite.py").write_text("x = 1\n")
    module = Parent("module:judges.polite", digest.of_file(package / "polite.py"), "judge")
    assert changes(project, module) == ([], [])
    copied = publish(project, "model", "copied")
    shutil.move(copied.folder, project.root / "old")
    folder = resolve_input(project, "model", Ref("model"), str(project.root / "old"))
    parent = Parent(folder.name, folder.digest, "model")
    assert changes(project, parent) == ([], [])
    (project.root / "old" / "content").write_text("other")
    (package / "polite.py").write_text("x = 2\n")
    assert changes(project, parent, module)[0] == [
        "model/m: its judge, module:judges.polite, was changed.",
        "model/m: its model, file:./old, was changed.",
    ]


def test_a_project_that_was_moved_verifies(tmp_path: Path) -> None:
    project = create_project(tmp_path / "p")
    family(project)
    project.root.rename(tmp_path / "q")
    assert lineage.verify(load_project(tmp_path / "q"), None).problems == []
