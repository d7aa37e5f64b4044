"""Artifacts: folders that are complete or absent, named by the digest of their files, parents, configuration and seed.

A parent is part of its child's digest, so a digest stands for the whole history behind it.  Name, time, code and metrics are
outside: they describe an artifact and do not make it another one.  Manifests are untrusted input and are validated when read.
Hidden files (`.DS_Store` and the like) belong to no artifact.  Which parents are present is `lineage`'s matter.
"""

import dataclasses
import fcntl
import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic

import fairlead
from fairlead.core import digest, files
from fairlead.core.errors import ProjectError
from fairlead.store.project import ARTIFACT_KINDS, Project, check_name

MANIFEST = "manifest.json"
MIN_PREFIX = 6  # hexadecimal digits; fewer are ambiguous soon


@dataclass(frozen=True)
class Parent:
    name: (
        str  # "kind/name" of an artifact, "file:path", "module:name" or "hub:owner/name" of something outside
    )
    digest: str
    role: str  # the field of the configuration that named it


@dataclass(frozen=True)
class Manifest:
    kind: str
    name: str
    digest: str
    parents: tuple[Parent, ...]
    config: dict[str, Any]
    code: dict[str, str | None]  # "version", and "commit" when it ran from a git checkout
    seed: int
    created_at: str
    metrics: dict[str, Any]
    run: str | None
    files: dict[str, str]  # path inside the folder -> digest


@dataclass(frozen=True)
class Artifact:
    folder: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        return f"{self.manifest.kind}/{self.manifest.name}"


def publish_artifact(
    project: Project,
    kind: str,
    name: str,
    *,
    fill: Callable[[Path], None],
    parents: Sequence[Parent],
    config: Mapping[str, Any],
    seed: int,
    metrics: Mapping[str, Any],
    run: str | None = None,
) -> Artifact:
    """Let `fill` write the files into an empty folder, add the manifest, and give the folder its name in one rename."""
    assert kind in ARTIFACT_KINDS, f"{kind} is not one of {ARTIFACT_KINDS}"
    folder = project.artifacts / kind / check_name(name)
    with _only_publisher(folder.parent):
        files.remove_leftovers(folder.parent)
        if folder.exists():
            raise ProjectError(
                f"{folder}: {kind}/{name} exists, and artifacts are never overwritten. Choose another name."
            )
        with files.atomic_folder(folder) as inside:
            fill(inside)
            assert not (inside / MANIFEST).exists(), "fill wrote a manifest.json; that name is the store's"
            manifest = Manifest(
                kind=kind,
                name=name,
                digest="",
                parents=tuple(sorted(parents, key=lambda parent: (parent.role, parent.name, parent.digest))),
                config=dict(config),
                code=code_version(),
                seed=seed,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                metrics=dict(metrics),
                run=run,
                files=digest.of_files(inside),
            )
            manifest = dataclasses.replace(manifest, digest=content_digest(manifest))
            text = (
                json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            )
            files.write_text(inside / MANIFEST, text)
    return load_artifact(folder)


def load_artifact(folder: Path) -> Artifact:
    """The artifact in `folder`, its manifest validated; the files themselves are compared by `verify`."""
    path = folder / MANIFEST
    try:
        manifest = pydantic.TypeAdapter(Manifest).validate_python(json.loads(path.read_bytes()))
        content_digest(manifest)  # what has no canonical JSON (NaN, a lone surrogate) has no digest
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectError(
            f"{folder}: is no artifact (it has no {MANIFEST}). Name an artifact, or remove that folder."
        ) from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProjectError(
            f"{path}: {where}: {first['msg']}. The manifest is not valid; make the artifact again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ProjectError(f"{path}: cannot be read as JSON: {error}. Make the artifact again.") from error
    if manifest.kind not in ARTIFACT_KINDS:
        raise ProjectError(f"{path}: kind {manifest.kind!r} is not one of {', '.join(ARTIFACT_KINDS)}.")
    check_name(manifest.name)
    for name in manifest.files:
        files.path_inside(folder, name)
    return Artifact(folder, manifest)


def find_artifact(project: Project, ref: str, kind: str | None = None) -> Artifact | None:
    """The one artifact that `ref` means: `name`, `kind/name`, a digest or its beginning, or a path to an artifact's folder."""
    return only_artifact(
        ref, [artifact for artifact in find_artifacts(project, ref) if kind in (None, artifact.manifest.kind)]
    )


def find_artifacts(project: Project, ref: str) -> list[Artifact]:
    """Every artifact that `ref` could mean; a name goes before a path, so write `./name` for the path."""
    if ref.startswith("sha256:"):
        if not re.fullmatch(rf"sha256:[0-9a-f]{{{MIN_PREFIX},64}}", ref):
            raise ProjectError(f"{ref!r}: a digest is sha256: and at least {MIN_PREFIX} hexadecimal digits.")
        return [artifact for artifact in list_artifacts(project) if artifact.manifest.digest.startswith(ref)]
    kind, slash, name = ref.rpartition("/")
    kinds = (kind,) if slash else ARTIFACT_KINDS
    named = [folder for folder in _folders(project) if folder.name == name and folder.parent.name in kinds]
    if named:
        return [_load_named(folder) for folder in named]
    places = [folder for folder in (Path(ref), project.root / ref) if ref and (folder / MANIFEST).is_file()]
    return [load_artifact(folder) for folder in places[:1]]


def only_artifact(ref: str, found: Sequence[Artifact]) -> Artifact | None:
    """The single one of several candidates, or none; more than one is for the user to decide."""
    if len(found) > 1:
        candidates = ", ".join(
            f"{artifact.label} ({brief_digest(artifact.manifest.digest)})" for artifact in found
        )
        raise ProjectError(f"{ref!r} is ambiguous: it could be {candidates}. Write KIND/NAME.")
    return found[0] if found else None


def list_artifacts(project: Project) -> list[Artifact]:
    """Every artifact of the project, by kind and name; raises ProjectError at a folder that is none."""
    return [_load_named(folder) for folder in _folders(project)]


def load_artifacts(project: Project) -> tuple[list[Artifact], list[str]]:
    """Every artifact that can be read, and one sentence for each folder that cannot."""
    found, problems = [], []
    for folder in _folders(project):
        try:
            found.append(_load_named(folder))
        except ProjectError as error:
            problems.append(str(error))
    return found, problems


def verify_artifact(artifact: Artifact) -> list[str]:
    """What is not as it was published, one sentence each; every digest is computed again."""
    recorded, label = artifact.manifest.files, artifact.label
    present = {name: sha for name, sha in digest.of_files(artifact.folder).items() if name != MANIFEST}
    problems = [f"{label}: {name} is missing." for name in recorded if name not in present]
    problems += [
        f"{label}: {name} was changed."
        for name in recorded
        if name in present and present[name] != recorded[name]
    ]
    problems += [
        f"{label}: {name} was added; the manifest does not name it."
        for name in present
        if name not in recorded
    ]
    if content_digest(artifact.manifest) != artifact.manifest.digest:
        problems.append(f"{label}: {MANIFEST} was changed; its digest is not that of its contents.")
    return problems


def content_digest(manifest: Manifest) -> str:
    """What the artifact is: kind, files, parents, configuration and seed."""
    parents = [dataclasses.asdict(parent) for parent in manifest.parents]
    what = {
        "kind": manifest.kind,
        "files": manifest.files,
        "parents": parents,
        "config": manifest.config,
        "seed": manifest.seed,
    }
    return digest.of_json(what)


def brief_digest(name: str) -> str:
    """A digest for people to read and to paste back: `sha256:` and ten digits; any other name unchanged."""
    return f"sha256:{digest.short(name)}" if name.startswith("sha256:") else name


@functools.cache
def code_version() -> dict[str, str | None]:
    """Which Fairlead this is."""
    return {"version": fairlead.__version__, "commit": _commit(Path(fairlead.__file__).parents[2])}


def _commit(source: Path) -> str | None:
    """The commit checked out in `source`; None when it is not the top of a git checkout, as for an installed package."""
    if not (source / ".git").exists():
        return None
    try:
        asked = subprocess.run(
            ["git", "-C", str(source), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or no commit yet
        return None
    return asked.stdout.strip()


def _folders(project: Project) -> list[Path]:
    kinds = [project.artifacts / kind for kind in ARTIFACT_KINDS]
    found = [folder for kind in kinds if kind.is_dir() for folder in sorted(kind.iterdir())]
    return [folder for folder in found if folder.is_dir() and not folder.name.startswith(".")]


def _load_named(folder: Path) -> Artifact:
    """An artifact at its place in the project, whose manifest has to say the same kind and name as the folders."""
    artifact = load_artifact(folder)
    if artifact.label != f"{folder.parent.name}/{folder.name}":
        raise ProjectError(
            f"{folder}: the manifest says that this is {artifact.label}. Move the folder back to that name."
        )
    return artifact


@contextmanager
def _only_publisher(folder: Path) -> Iterator[None]:
    """One process at a time publishes a kind: a half-written folder found there is a dead one's, and no name is taken twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
