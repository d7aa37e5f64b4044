import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fairlead
from fairlead.core.errors import ProjectError
from fairlead.store.artifact import (
    Artifact,
    Parent,
    Provenance,
    _commit,
    brief_digest,
    code_version,
    find_artifact,
    list_artifacts,
    load_artifact,
    publish_artifact,
    verify_artifact,
)
from fairlead.store.project import Project, create_project

FILL_UNTIL_KILLED = """
import sys
from pathlib import Path
from fairlead.store import artifact, project

def fill(folder):
    (folder / "weights").write_text("half")
    print("writing", flush=True)
    while True:
        (folder / "more").write_text("x")

provenance = artifact.Provenance(parents=(), config={}, seed=0, metrics={})
opened = project.load_project(Path(sys.argv[1]))
artifact.publish_artifact(opened, "model", "a", provenance, fill=fill)
"""
FILL_UNTIL_TOLD = """
import sys
from pathlib import Path
from fairlead.store import artifact, project

def fill(folder):
    (folder / "weights").write_text("w")
    print("writing", flush=True)
    sys.stdin.readline()

provenance = artifact.Provenance(parents=(), config={}, seed=0, metrics={})
opened = project.load_project(Path(sys.argv[1]))
artifact.publish_artifact(opened, "model", "a", provenance, fill=fill)
"""
PUBLISH_MANY = """
import sys
from pathlib import Path
from fairlead.store import artifact, project

def fill(folder):
    for number in range(5):
        (folder / f"part-{number}").write_bytes(bytes(20_000))

for number in range(1000):
    name = f"{sys.argv[2]}-{number}"
    provenance = artifact.Provenance(parents=(), config={}, seed=0, metrics={})
    opened = project.load_project(Path(sys.argv[1]))
    artifact.publish_artifact(opened, "model", name, provenance, fill=fill)
    print(name, flush=True)
"""


def text(content: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "rows.jsonl").write_text(content)

    return fill


def publish(project: Project, kind: str, name: str, content: str = "{}\n", **changes: Any) -> Artifact:
    values: dict[str, Any] = {"parents": (), "config": {"lr": 0.1}, "seed": 3, "metrics": {}} | changes
    return publish_artifact(project, kind, name, Provenance(**values), fill=text(content))


def edit(artifact: Artifact, **changes: Any) -> None:
    path = artifact.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_published_artifact_is_read_back_as_it_was(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    parents = [Parent("hub:o/n", "hub:o/n", "model"), Parent("file:data/a", "sha256:" + "0" * 64, "data")]
    made = publish(project, "model", "m", parents=parents, metrics={"loss": {"value": 0.5}}, run="sft-m-1")
    assert load_artifact(project.artifacts / "model" / "m") == made
    manifest = made.manifest
    assert (manifest.kind, manifest.name, manifest.seed, manifest.config, manifest.run) == (
        "model",
        "m",
        3,
        {"lr": 0.1},
        "sft-m-1",
    )
    assert manifest.parents == (parents[1], parents[0])  # by role
    assert manifest.metrics == {"loss": {"value": 0.5}}
    assert manifest.files == {"rows.jsonl": "sha256:" + hashlib.sha256(b"{}\n").hexdigest()}
    assert manifest.created_at.endswith("+00:00")
    assert verify_artifact(made) == []


def test_a_digest_is_that_of_kind_files_parents_config_and_seed(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = publish(project, "dataset", "d", parents=[Parent("hub:o/n", "hub:o/n", "model")])
    row = hashlib.sha256(b"{}\n").hexdigest()
    canonical = (
        '{"config":{"lr":0.1},"files":{"rows.jsonl":"sha256:' + row + '"},"kind":"dataset",'
        '"parents":[{"digest":"hub:o/n","name":"hub:o/n","role":"model"}],"seed":3}'
    )
    assert made.manifest.digest == "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def test_name_metrics_and_run_are_outside_of_the_digest_and_the_rest_is_inside(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    first = publish(project, "dataset", "a").manifest.digest
    assert publish(project, "dataset", "b", metrics={"rows": 1}, run="r").manifest.digest == first
    others = [
        publish(project, "snapshot", "a"),
        publish(project, "dataset", "c", "[]\n"),
        publish(project, "dataset", "d", config={"lr": 0.2}),
        publish(project, "dataset", "e", seed=4),
        publish(project, "dataset", "f", parents=[Parent("x", first, "data")]),
        publish(project, "dataset", "g", parents=[Parent("x", "hub:o/n", "data")]),
    ]
    assert len({first, *(other.manifest.digest for other in others)}) == 7


def test_the_code_is_named(tmp_path: Path) -> None:
    code = code_version()
    assert code["version"] == "0.1.0"
    source = Path(fairlead.__file__).parents[2]
    expected = None
    if (source / ".git").exists():
        asked = subprocess.run(
            ["git", "-C", str(source), "log", "-1", "--format=%H"], capture_output=True, text=True
        )
        expected = asked.stdout.strip()
    assert code["commit"] == expected
    assert _commit(tmp_path) is None


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()  # looks like one, and git will say that it is not
    assert _commit(tmp_path) is None


def test_an_artifact_is_never_overwritten(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = publish(project, "model", "m", "old")
    with pytest.raises(ProjectError, match="model/m already exists"):
        publish(project, "model", "m", "new")
    assert (made.folder / "rows.jsonl").read_text() == "old"


@pytest.mark.parametrize("name", ["../m", ".m", ""])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProjectError, match="is invalid"):
        publish(create_project(tmp_path), "model", name)


def test_a_kind_that_is_none_and_a_manifest_of_ones_own_are_bugs(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with pytest.raises(AssertionError, match="is not one of"):
        publish(project, "modle", "m")

    def fill(folder: Path) -> None:
        (folder / "manifest.json").write_text("{}")

    with pytest.raises(AssertionError, match="a name reserved for the store"):
        publish_artifact(
            project, "model", "m", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
        )
    assert list_artifacts(project) == []


def test_a_fill_that_fails_leaves_nothing(tmp_path: Path) -> None:
    project = create_project(tmp_path)

    def fill(folder: Path) -> None:
        (folder / "weights").write_text("w")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        publish_artifact(
            project, "model", "m", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
        )
    assert [path.name for path in (project.artifacts / "model").iterdir()] == [".lock"]


def test_a_process_killed_while_filling_leaves_no_artifact_and_the_next_one_clears_up(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", FILL_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        child.kill()
        assert child.wait(timeout=30) == -signal.SIGKILL
    assert list_artifacts(project) == []
    assert len(list((project.artifacts / "model").glob(".*.part-*"))) == 1
    made = publish(project, "model", "a")
    assert verify_artifact(made) == []
    assert sorted(path.name for path in (project.artifacts / "model").iterdir()) == [".lock", "a"]


def test_whenever_a_process_is_killed_every_artifact_is_complete_or_absent(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    told = set()
    for attempt, wait_s in enumerate([0.0, 0.003, 0.011, 0.027]):
        program = [sys.executable, "-c", PUBLISH_MANY, str(tmp_path), str(attempt)]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            told.add(child.stdout.readline().decode().strip())
            time.sleep(wait_s)
            child.kill()
            told |= {line.decode().strip() for line in child.stdout if line.endswith(b"\n")}
    present = list_artifacts(project)
    assert told <= {artifact.manifest.name for artifact in present}
    assert [problem for artifact in present for problem in verify_artifact(artifact)] == []
    assert all(len(artifact.manifest.files) == 5 for artifact in present)


def test_a_process_that_publishes_waits_for_one_that_is_filling(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    second = threading.Thread(target=publish, args=(project, "model", "b"))
    program = [sys.executable, "-c", FILL_UNTIL_TOLD, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        second.start()
        second.join(timeout=0.3)
        assert second.is_alive()
        child.stdin.write(b"go\n")
        child.stdin.flush()
        assert child.wait(timeout=30) == 0
    second.join(timeout=30)
    assert [artifact.label for artifact in list_artifacts(project)] == ["model/a", "model/b"]


def test_verify_tells_every_kind_of_change(tmp_path: Path) -> None:
    project = create_project(tmp_path)

    def fill(folder: Path) -> None:
        for name in ("changed", "lost", "kept"):
            (folder / name).write_text(name)

    made = publish_artifact(
        project, "model", "m", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )
    (made.folder / "changed").write_text("Changed")
    (made.folder / "lost").unlink()
    (made.folder / "extra").touch()
    (made.folder / ".DS_Store").touch()
    assert verify_artifact(made) == [
        "model/m: lost is missing.",
        "model/m: changed was changed.",
        "model/m: extra was added; it is not in the manifest.",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"config": {"lr": 0.2}},
        {"parents": [{"name": "x", "digest": "hub:x", "role": "model"}]},
        {"digest": "sha256:" + "0" * 64},
    ],
)
def test_verify_tells_a_changed_manifest(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = publish(create_project(tmp_path), "model", "m")
    edit(made, **changes)
    (problem,) = verify_artifact(load_artifact(made.folder))
    assert problem.startswith("model/m: manifest.json was changed")


def test_verify_tells_files_changed_together_with_the_manifest(tmp_path: Path) -> None:
    made = publish(create_project(tmp_path), "model", "m")
    (made.folder / "rows.jsonl").write_bytes(b"abc")
    edit(made, files={"rows.jsonl": "sha256:" + hashlib.sha256(b"abc").hexdigest()})
    assert len(verify_artifact(load_artifact(made.folder))) == 1


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "a\0b", "out", "out/secret"])
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    made = publish(create_project(tmp_path), "model", "m")
    (made.folder / "out").symlink_to(tmp_path)
    edit(made, files={name: "sha256:" + "0" * 64})
    with pytest.raises(ProjectError, match="points outside the folder"):
        load_artifact(made.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "../x"}, "kind '../x' is unknown"),
        ({"name": "../x"}, "is invalid"),
        ({"seed": "many"}, "manifest.json: seed: "),
        ({"parents": [{"name": "x"}]}, "manifest.json: parents.0.digest: "),
        ({"files": ["a"]}, "manifest.json: files: "),
        ({"config": {"lr": float("nan")}}, "JSON compliant"),
        ({"config": {"name": "\ud800"}}, "cannot be read"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    made = publish(create_project(tmp_path), "model", "m")
    edit(made, **changes)
    with pytest.raises(ProjectError, match=message):
        load_artifact(made.folder)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\xfa", b"[" * 100_000, b"null", b"[]"])
def test_bytes_that_are_no_manifest_are_refused(tmp_path: Path, content: bytes) -> None:
    made = publish(create_project(tmp_path), "model", "m")
    (made.folder / "manifest.json").write_bytes(content)
    with pytest.raises(ProjectError, match=r"manifest\.json"):
        load_artifact(made.folder)


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(ProjectError, match="not an artifact"):
            load_artifact(place)


def test_an_artifact_is_found_by_name_kind_digest_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_project(tmp_path / "project")
    made = publish(project, "model", "m")
    publish(project, "dataset", "d")
    digest = made.manifest.digest
    for ref in ("m", "model/m", digest, digest[:13], str(made.folder), "artifacts/model/m"):
        found = find_artifact(project, ref)
        assert found is not None and found.manifest == made.manifest, ref
    monkeypatch.chdir(project.artifacts)
    assert find_artifact(project, "./model/m") is not None
    assert find_artifact(project, "m", kind="dataset") is None
    for ref in ("", "n", "dataset/m", "mo", "sha256:" + "0" * 64, "../model/m/rows.jsonl"):
        assert find_artifact(project, ref) is None, ref


def test_an_artifact_elsewhere_is_found_by_its_path(tmp_path: Path) -> None:
    project, other = create_project(tmp_path / "one"), create_project(tmp_path / "other")
    made = publish(other, "model", "m")
    assert find_artifact(project, str(made.folder)) == made


def test_an_ambiguous_reference_lists_the_candidates(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    first, second = publish(project, "model", "m"), publish(project, "reward-model", "m")
    with pytest.raises(ProjectError, match=r"'m' is ambiguous: it matches model/m \(sha256:.*reward-model/m"):
        find_artifact(project, "m")
    assert find_artifact(project, "m", kind="model") == first
    assert find_artifact(project, "reward-model/m") == second


def test_a_digest_of_two_names_is_ambiguous(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    digest = publish(project, "model", "m").manifest.digest
    publish(project, "model", "n")
    with pytest.raises(ProjectError, match="model/m .* model/n"):
        find_artifact(project, digest[:14])


@pytest.mark.parametrize(
    "ref", ["sha256:", "sha256:abcde", "sha256:ABCDEF", "sha256:xyzxyz", "sha256:" + "a" * 65]
)
def test_a_digest_that_is_too_short_or_none_is_told(tmp_path: Path, ref: str) -> None:
    with pytest.raises(ProjectError, match="at least 6 hexadecimal digits"):
        find_artifact(create_project(tmp_path), ref)


def test_a_list_is_by_kind_and_name(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    for kind, name in (("report", "a"), ("model", "b"), ("model", "a"), ("dataset", "z")):
        publish(project, kind, name)
    assert [artifact.label for artifact in list_artifacts(project)] == [
        "dataset/z",
        "model/a",
        "model/b",
        "report/a",
    ]


def test_a_folder_under_another_name_is_told(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = publish(project, "model", "m")
    made.folder.rename(made.folder.with_name("n"))
    with pytest.raises(ProjectError, match="the manifest belongs to model/m"):
        list_artifacts(project)
    with pytest.raises(ProjectError, match="the manifest belongs to model/m"):
        find_artifact(project, "n")


def test_a_brief_digest_finds_its_artifact(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    made = publish(project, "model", "m")
    assert find_artifact(project, brief_digest(made.manifest.digest)) == made
    assert brief_digest("hub:o/n") == "hub:o/n"
