"""Artifacts: immutable folders, identified by a digest of their files, parents, configuration and seed.

The digests of the parents are part of the digest of an artifact, which therefore identifies its complete
history. Name, time, code version and metrics are not part of the digest.  An artifact folder is complete or
absent.  Manifests are untrusted input and are validated when read.  Hidden files, such as `.DS_Store`, are
ignored.  `lineage` checks whether the parents are present.
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
MIN_PREFIX = 6  # hexadecimal digits of an abbreviated digest; fewer would soon be ambiguous


@dataclass(frozen=True)
class Parent:
    # "kind/name" of an artifact; "file:path", "module:name" or "hub:owner/name" of an outside input
    name: str
    digest: str
    role: str  # the configuration field that refers to it


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How an artifact was made."""

    parents: Sequence[Parent]
    config: Mapping[str, Any]
    seed: int
    metrics: Mapping[str, Any]
    run: str | None = None  # id of the run that made it


@dataclass(frozen=True)
class Manifest:
    kind: str
    name: str
    digest: str
    parents: tuple[Parent, ...]
    config: dict[str, Any]
    code: dict[str, str | None]  # "version", and "commit" if Fairlead ran from a git checkout
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
    provenance: Provenance,
    *,
    fill: Callable[[Path], object],
) -> Artifact:
    """Publish an artifact: `fill` writes its files into an empty folder, and one rename makes the folder
    visible.
    """
    assert kind in ARTIFACT_KINDS, f"{kind} is not one of {ARTIFACT_KINDS}"
    folder = project.artifacts / kind / check_name(name)
    with _publishing_lock(folder.parent):
        files.remove_leftovers(folder.parent)
        if folder.exists():
            raise ProjectError(
                f"{folder}: {kind}/{name} already exists, and artifacts are never overwritten. Remove or "
                "rename this folder and give the command again, which keeps finished work; or choose "
                "another name."
            )
        with files.atomic_folder(folder) as temporary:
            fill(temporary)
            assert not (temporary / MANIFEST).exists(), (
                "fill wrote manifest.json, a name reserved for the store"
            )
            manifest = Manifest(
                kind=kind,
                name=name,
                digest="",
                parents=tuple(
                    sorted(provenance.parents, key=lambda parent: (parent.role, parent.name, parent.digest))
                ),
                config=dict(provenance.config),
                code=code_version(),
                seed=provenance.seed,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                metrics=dict(provenance.metrics),
                run=provenance.run,
                files=digest.of_files(temporary),
            )
            manifest = dataclasses.replace(manifest, digest=content_digest(manifest))
            text = (
                json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            )
            files.write_text(temporary / MANIFEST, text)
    return load_artifact(folder)


def load_artifact(folder: Path) -> Artifact:
    """Load the artifact in `folder` and validate its manifest.  `verify_artifact` checks the files."""
    path = folder / MANIFEST
    try:
        manifest = pydantic.TypeAdapter(Manifest).validate_python(json.loads(path.read_bytes()))
        content_digest(manifest)  # raises if the manifest has no canonical JSON (NaN, a lone surrogate)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectError(
            f"{folder}: not an artifact (no {MANIFEST}). Name an artifact, or remove the folder."
        ) from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProjectError(
            f"{path}: {where}: {first['msg']}. The manifest is invalid. Create the artifact again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ProjectError(f"{path}: cannot be read as JSON: {error}. Create the artifact again.") from error
    if manifest.kind not in ARTIFACT_KINDS:
        raise ProjectError(
            f"{path}: kind {manifest.kind!r} is unknown. Kinds are {', '.join(ARTIFACT_KINDS)}."
        )
    check_name(manifest.name)
    for name in manifest.files:
        files.path_inside(folder, name)
    return Artifact(folder, manifest)


def find_artifact(project: Project, ref: str, kind: str | None = None) -> Artifact | None:
    """Find the artifact with a name, `kind/name`, a digest or the start of one, or a path; None if there is
    none.
    """
    return only_artifact(
        ref, [artifact for artifact in find_artifacts(project, ref) if kind in (None, artifact.manifest.kind)]
    )


def find_artifacts(project: Project, ref: str) -> list[Artifact]:
    """All artifacts that match `ref`.  Names take precedence over paths: write `./name` for a path."""
    if ref.startswith("sha256:"):
        if not re.fullmatch(rf"sha256:[0-9a-f]{{{MIN_PREFIX},64}}", ref):
            raise ProjectError(
                f"{ref!r}: not a digest. Write sha256: and at least {MIN_PREFIX} hexadecimal digits."
            )
        return [artifact for artifact in list_artifacts(project) if artifact.manifest.digest.startswith(ref)]
    kind, slash, name = ref.rpartition("/")
    kinds = (kind,) if slash else ARTIFACT_KINDS
    named = [folder for folder in _folders(project) if folder.name == name and folder.parent.name in kinds]
    if named:
        return [_load_named(folder) for folder in named]
    folders = [folder for folder in (Path(ref), project.root / ref) if ref and (folder / MANIFEST).is_file()]
    return [load_artifact(folder) for folder in folders[:1]]


def only_artifact(ref: str, candidates: Sequence[Artifact]) -> Artifact | None:
    """The only candidate, or None if there is none; raises ProjectError if there are several."""
    if len(candidates) > 1:
        listed = ", ".join(
            f"{artifact.label} ({brief_digest(artifact.manifest.digest)})" for artifact in candidates
        )
        raise ProjectError(f"{ref!r} is ambiguous: it matches {listed}. Write KIND/NAME.")
    return candidates[0] if candidates else None


def list_artifacts(project: Project) -> list[Artifact]:
    """All artifacts of the project, by kind and name; raises ProjectError at a folder that is not an
    artifact.
    """
    return [_load_named(folder) for folder in _folders(project)]


def load_artifacts(project: Project) -> tuple[list[Artifact], list[str]]:
    """All readable artifacts, and one error message for each unreadable folder."""
    artifacts = []
    problems = []
    for folder in _folders(project):
        try:
            artifacts.append(_load_named(folder))
        except ProjectError as error:
            problems.append(str(error))
    return artifacts, problems


def verify_artifact(artifact: Artifact) -> list[str]:
    """Recompute every digest; returns one sentence for each difference from the manifest."""
    recorded = artifact.manifest.files
    label = artifact.label
    present = {name: sha for name, sha in digest.of_files(artifact.folder).items() if name != MANIFEST}
    problems = [f"{label}: {name} is missing." for name in recorded if name not in present]
    problems += [
        f"{label}: {name} was changed."
        for name in recorded
        if name in present and present[name] != recorded[name]
    ]
    problems += [
        f"{label}: {name} was added; it is not in the manifest." for name in present if name not in recorded
    ]
    if content_digest(artifact.manifest) != artifact.manifest.digest:
        problems.append(f"{label}: {MANIFEST} was changed; its digest does not match its contents.")
    return problems


def content_digest(manifest: Manifest) -> str:
    """Digest of what identifies an artifact: kind, files, parents, configuration and seed."""
    parents = [dataclasses.asdict(parent) for parent in manifest.parents]
    identity = {
        "kind": manifest.kind,
        "files": manifest.files,
        "parents": parents,
        "config": manifest.config,
        "seed": manifest.seed,
    }
    return digest.of_json(identity)


def brief_digest(name: str) -> str:
    """Abbreviate a digest to `sha256:` and ten digits, which commands accept; other names are unchanged."""
    return f"sha256:{digest.short(name)}" if name.startswith("sha256:") else name


@functools.cache
def code_version() -> dict[str, str | None]:
    """Version of Fairlead and commit of its checkout."""
    return {"version": fairlead.__version__, "commit": _commit(Path(fairlead.__file__).parents[2])}


def _commit(source: Path) -> str | None:
    """Commit checked out in `source`; None for an installed package."""
    if not (source / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(source), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):  # git is not installed, or there is no commit yet
        return None
    return result.stdout.strip()


def _folders(project: Project) -> list[Path]:
    kinds = [project.artifacts / kind for kind in ARTIFACT_KINDS]
    folders = [folder for kind in kinds if kind.is_dir() for folder in sorted(kind.iterdir())]
    return [folder for folder in folders if folder.is_dir() and not folder.name.startswith(".")]


def _load_named(folder: Path) -> Artifact:
    """Load an artifact of the project; its manifest must name the same kind and name as its folder."""
    artifact = load_artifact(folder)
    if artifact.label != f"{folder.parent.name}/{folder.name}":
        raise ProjectError(
            f"{folder}: the manifest belongs to {artifact.label}. Move the folder back to that name."
        )
    return artifact


@contextmanager
def _publishing_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time publish artifacts of a kind.

    While the lock is held, temporary folders belong to killed processes, and no name can be taken twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
