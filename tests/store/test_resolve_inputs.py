import hashlib
from pathlib import Path

import pytest

from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.store.artifact import Artifact, Provenance, publish_artifact
from fairlead.store.project import Project, create_project
from fairlead.store.resolve_inputs import ResolvedInput, resolve_input

ABC = "sha256:" + hashlib.sha256(b"abc").hexdigest()

DATASET, MODEL, REWARD = Ref("dataset"), Ref("model"), Ref("reward-model")


def publish(project: Project, kind: str, name: str) -> Artifact:
    def fill(folder: Path) -> None:
        (folder / "content").write_text(f"{kind}/{name}")

    return publish_artifact(
        project, kind, name, Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )


def found(project: Project, mark: Ref, ref: str) -> ResolvedInput:
    resolved = resolve_input(project, "field", mark, ref)
    assert resolved is not None
    return resolved


def test_an_artifact_is_an_input_by_its_label_and_digest(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = publish(project, "model", "m")
    for ref in ("m", "model/m", made.manifest.digest, str(made.folder)):
        assert found(project, MODEL, ref) == ResolvedInput(
            ref, "model/m", made.manifest.digest, made.folder, made
        )


def test_a_snapshot_is_a_dataset_and_a_reward_model_is_no_model(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    publish(project, "snapshot", "s")
    publish(project, "reward-model", "r")
    assert found(project, DATASET, "s").name == "snapshot/s"
    with pytest.raises(
        ProjectError,
        match=r"^field = 'r': is a reward-model \(reward-model/r\). Name a model\.$",
    ):
        resolve_input(project, "field", MODEL, "r")
    with pytest.raises(ProjectError, match="is a snapshot"):
        resolve_input(project, "field", REWARD, str(project.artifacts / "snapshot" / "s"))


def test_the_kind_that_fits_is_taken_when_a_name_has_several(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    for kind in ("model", "reward-model", "report"):
        publish(project, kind, "same")
    assert found(project, REWARD, "same").name == "reward-model/same"


def test_two_artifacts_that_both_fit_are_ambiguous(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    publish(project, "dataset", "d")
    publish(project, "snapshot", "d")
    with pytest.raises(ProjectError, match="ambiguous"):
        resolve_input(project, "field", DATASET, "d")


def test_a_file_is_an_input_from_the_working_folder_and_then_from_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_project(tmp_path / "project")
    (project.data / "rows.jsonl").write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    assert found(project, DATASET, "data/rows.jsonl") == ResolvedInput(
        "data/rows.jsonl", "file:data/rows.jsonl", ABC, project.data / "rows.jsonl", None
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_bytes(b"nearer")
    assert (
        found(project, DATASET, "data/rows.jsonl").digest == "sha256:" + hashlib.sha256(b"nearer").hexdigest()
    )


def test_the_name_of_a_file_elsewhere_does_not_say_where(tmp_path: Path) -> None:
    project = create_project(tmp_path / "project")
    (tmp_path / "rows.jsonl").write_bytes(b"abc")
    assert found(project, DATASET, str(tmp_path / "rows.jsonl")).name == "file:rows.jsonl"


def test_a_folder_is_an_input_by_the_digest_of_its_listing(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "weights").write_bytes(b"abc")
    listing = '{"weights":"' + ABC + '"}'
    assert (
        found(project, MODEL, str(folder)).digest == "sha256:" + hashlib.sha256(listing.encode()).hexdigest()
    )
    assert found(project, MODEL, str(folder)).name == "file:./base"


def test_a_folder_is_read_once_until_a_file_in_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, folder = create_project(tmp_path / "project"), tmp_path / "base"
    folder.mkdir()
    (folder / "weights").write_bytes(b"abc")
    read: list[Path] = []

    def of_file(path: Path) -> str:
        read.append(path)
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("fairlead.core.digest.of_file", of_file)
    first = found(project, MODEL, str(folder)).digest
    assert found(project, MODEL, str(folder)).digest == first
    assert len(read) == 1
    (folder / "weights").write_bytes(b"abcd")
    assert found(project, MODEL, str(folder)).digest != first


def test_an_artifact_of_another_project_comes_from_outside(tmp_path: Path) -> None:
    project, other = create_project(tmp_path / "one"), create_project(tmp_path / "other")
    made = publish(other, "model", "m")
    resolved = found(project, MODEL, str(made.folder))
    assert (resolved.name, resolved.digest, resolved.artifact) == ("file:m", made.manifest.digest, made)


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/Qwen/Qwen3-0.6B",
        "https://huggingface.co/Qwen/Qwen3-0.6B/",
        "https://huggingface.co/Qwen/Qwen3-0.6B/tree/main",
        "http://www.huggingface.co/Qwen/Qwen3-0.6B",
        "huggingface.co/Qwen/Qwen3-0.6B",
        "https://hf.co/Qwen/Qwen3-0.6B",
        "hf://Qwen/Qwen3-0.6B",
    ],
)
def test_the_address_of_a_model_s_page_is_read_as_its_name(tmp_path: Path, address: str) -> None:
    resolved = found(create_project(tmp_path), MODEL, address)
    assert (resolved.name, resolved.load_from) == ("hub:Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B")


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/Qwen",
        "https://huggingface.co/Qwen/Qwen3-0.6B/tree/v2",
        "https://huggingface.co/Qwen/Qwen3-0.6B/blob/main/model.safetensors",
        "https://huggingface.co/datasets/org/rows",
        "https://example.org/org/name",
    ],
)
def test_any_other_address_is_refused_with_what_to_write(tmp_path: Path, address: str) -> None:
    with pytest.raises(ProjectError, match="is not the address of a model on the Hub. Write OWNER/NAME"):
        resolve_input(create_project(tmp_path), "model", MODEL, address)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project, other = create_project(tmp_path / "project"), create_project(tmp_path / "home" / "other")
    made = publish(other, "model", "m")
    assert found(project, MODEL, "~/other/artifacts/model/m").artifact == made
    (tmp_path / "home" / "x").write_text("abc")
    assert found(project, DATASET, "~/x") == ResolvedInput(
        "~/x", "file:x", ABC, tmp_path / "home" / "x", None
    )
    rule = found(project, REWARD, "rule:~/x")
    assert rule.load_from == f"rule:{tmp_path / 'home' / 'x'}"


def test_models_and_reward_models_can_come_from_the_hub(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    assert found(project, MODEL, "Qwen/Qwen3-0.6B") == ResolvedInput(
        "Qwen/Qwen3-0.6B", "hub:Qwen/Qwen3-0.6B", "hub:Qwen/Qwen3-0.6B", None, None
    )
    assert found(project, REWARD, "owner/name").name == "hub:owner/name"
    for mark, ref in (
        (DATASET, "owner/name"),
        (REWARD, "reward-model/none"),
        (MODEL, "model/none"),
        (MODEL, "a/b/c"),
        (MODEL, "-a/b"),
    ):
        with pytest.raises(ProjectError, match=f"no such {mark.kind}"):
            resolve_input(project, "field", mark, ref)


def test_a_module_is_a_rule_by_the_digest_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_project(tmp_path / "project")
    (tmp_path / "judging").mkdir()
    (tmp_path / "judging" / "polite.py").write_bytes(b"abc")
    monkeypatch.syspath_prepend(tmp_path)
    resolved = resolve_input(project, "field", REWARD, "rule:judging.polite")
    assert resolved == ResolvedInput("rule:judging.polite", "module:judging.polite", ABC, None, None)
    for ref in ("rule:judging.absent", "rule:absent.polite", "rule:judging", "rule:sys", "rule:a-b"):
        with pytest.raises(ProjectError, match="dotted name of a module"):
            resolve_input(project, "field", REWARD, ref)
    with pytest.raises(ProjectError, match="no such model"):
        resolve_input(project, "field", MODEL, "rule:judging.polite")


def test_a_rule_is_an_input_by_the_digest_of_its_file(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    (project.root / "polite.py").write_bytes(b"abc")
    resolved = found(project, REWARD, "rule:polite.py")
    assert (resolved.name, resolved.digest, resolved.location) == (
        "file:./polite.py",
        ABC,
        project.root / "polite.py",
    )
    for ref in ("rule:none.py", "rule:", "rule:data"):
        with pytest.raises(ProjectError, match="path of a Python file"):
            resolve_input(project, "field", REWARD, ref)


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with pytest.raises(
        ProjectError, match=r"^field = 'bse': no such model .* The project has no model yet\.$"
    ):
        resolve_input(project, "field", MODEL, "bse")
    publish(project, "model", "base")
    publish(project, "dataset", "base-pairs")
    with pytest.raises(ProjectError, match='Did you mean "base"?'):
        resolve_input(project, "field", MODEL, "bse")
    with pytest.raises(ProjectError, match=r"The project has: model/base\.$"):
        resolve_input(project, "field", MODEL, "zzz")
    with pytest.raises(ProjectError, match=r"The project has: dataset/base-pairs\.$"):
        resolve_input(project, "field", DATASET, "zzz")
