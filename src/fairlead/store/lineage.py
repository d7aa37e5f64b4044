"""Lineage: the tree of artifacts from which an artifact was made, and its verification.

Artifacts are looked up by digest, never by name.  Files of the project are looked up by their path in it.
Templates, rules and modules of Fairlead are "built-in", and compared with the installed ones.  A file or
module from elsewhere, a model of the Hub and a template of a tokenizer are "outside": their digests are
recorded and not recomputed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import fairlead
from fairlead.core import digest
from fairlead.core.errors import ProjectError
from fairlead.store.artifact import (
    MANIFEST,
    Artifact,
    Parent,
    brief_digest,
    load_artifact,
    load_artifacts,
    verify_artifact,
)
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import built_in_digest

Status = Literal["present", "missing", "outside", "built-in"]

# Prefixes of parents that are no artifacts of the project.
OUTSIDE = ("file:", "module:", "hub:", "template:")


@dataclass(frozen=True)
class LineageNode:
    label: str
    digest: str
    role: str  # the configuration field of the child that refers to it; empty at the root
    artifact: Artifact | None
    status: Status
    parents: tuple["LineageNode", ...]


@dataclass
class Verification:
    """What `verify` found: one sentence for each problem, and for each input that is not in the project."""

    problems: list[str] = field(default_factory=list)  # something changed or is missing
    not_checked: list[str] = field(default_factory=list)  # inputs from outside the project
    built_in: list[str] = field(default_factory=list)  # inputs that belong to Fairlead


def ancestors(project: Project, artifact: Artifact) -> LineageNode:
    """The tree of ancestors of `artifact`.

    An ancestor that is used twice appears twice, as the same nodes.
    """
    present, _ = load_artifacts(project)
    by_digest = _by_digest(present)
    # The parents of each digest.  Without this cache, time would grow with the number of paths through the
    # history.
    parents_of: dict[str, tuple[LineageNode, ...]] = {}

    def parents(child: Artifact, below: tuple[str, ...]) -> tuple[LineageNode, ...]:
        key = child.manifest.digest
        if key in below:  # possible only if a manifest was edited
            raise ProjectError(
                f"{child.label}: is its own ancestor, so a manifest was edited. "
                "Run `fairlead lineage verify`."
            )
        if key not in parents_of:
            parents_of[key] = tuple(node(parent, (*below, key)) for parent in child.manifest.parents)
        return parents_of[key]

    def node(parent: Parent, below: tuple[str, ...]) -> LineageNode:
        artifact, status = _locate(project, parent, by_digest)
        above = parents(artifact, below) if artifact else ()
        label = artifact.label if artifact else parent.name
        return LineageNode(label, parent.digest, parent.role, artifact, status, above)

    return LineageNode(
        artifact.label, artifact.manifest.digest, "", artifact, "present", parents(artifact, ())
    )


def render_text(node: LineageNode) -> str:
    """Render an indented tree, newest first.  Ancestors that were already printed are printed once."""
    lines: list[str] = []
    drawn: set[str] = set()

    def draw(node: LineageNode, depth: int) -> None:
        role = f"{node.role}: " if node.role else ""
        digest = "" if node.digest == node.label else f"  {brief_digest(node.digest)}"
        again = bool(node.parents) and node.digest in drawn
        remark = "" if node.status == "present" else f"  ({node.status})"
        lines.append("  " * depth + role + node.label + digest + remark + ("  (as above)" if again else ""))
        drawn.add(node.digest)
        if not again:
            for parent in node.parents:
                draw(parent, depth + 1)

    draw(node, 0)
    return "\n".join(lines) + "\n"


def verify(project: Project, artifact: Artifact | None) -> Verification:
    """Recompute the digests of `artifact`, its ancestors and their inputs; None: of the whole project."""
    present, unreadable = load_artifacts(project)
    by_digest = _by_digest(present)
    # An unreadable folder may be the parent that is missing, so it is always reported.
    result = Verification(problems=list(unreadable))
    queue = deque(present if artifact is None else [artifact])
    seen = {queued.folder for queued in queue}
    file_digests: dict[Path, str] = {}  # each file is read once, however many artifacts were made from it
    while queue:
        current = queue.popleft()
        result.problems += verify_artifact(current)
        for parent in current.manifest.parents:
            located, status = _locate(project, parent, by_digest)
            what = f"{current.label}: its {parent.role}, {parent.name}"
            path = file_of(project, parent)
            if status == "missing" and path is None:
                result.problems.append(
                    f"{what} ({brief_digest(parent.digest)}), is missing from the project. Make it again "
                    "with the command that made it, or restore its folder."
                )
            elif status == "missing":
                result.problems.append(f"{what}, is missing. Restore the file.")
            elif status == "built-in":
                version = current.manifest.code.get("version") or "of an unknown version"
                same = built_in_digest(parent.name, parent.digest) == parent.digest
                differs = "" if same else f"; that of the installed Fairlead, {fairlead.__version__}, differs"
                result.built_in.append(f"{what}, is part of Fairlead {version}{differs}.")
            elif status == "outside":
                result.not_checked.append(f"{what}, is outside the project, not checked.")
            elif path is not None:
                if path not in file_digests:
                    file_digests[path] = _digest_of_input(path)
                if file_digests[path] != parent.digest:
                    result.problems.append(f"{what}, was changed.")
            elif located is not None and located.folder not in seen:
                seen.add(located.folder)
                queue.append(located)
    return result


def file_of(project: Project, parent: Parent) -> Path | None:
    """Where an input that is a file, a folder or a module of the project is, or was; None for all others."""
    prefix, _, name = parent.name.partition(":")
    if prefix == "module" and built_in_digest(parent.name, parent.digest) is None:
        places = list(_module_places(project.root, name))
        return next((place for place in places if place.is_file()), None)
    # A name without a folder is that of a file outside the project, unless such a file is in its root.
    # `resolve_input` writes "./" before the names of files in the root.
    if prefix == "file" and ("/" in name or (project.root / name).exists()):
        return project.root / name
    return None


def unchanged_file(project: Project, parent: Parent) -> Path | None:
    """An input of the project that still is what it was; None if it changed, is missing or lies outside."""
    path = file_of(project, parent)
    if path is None or not path.exists() or _digest_of_input(path) != parent.digest:
        return None
    return path


def _module_places(root: Path, name: str) -> Iterator[Path]:
    relative = Path(*name.split("."))
    yield root / relative.with_suffix(".py")
    yield root / relative / "__init__.py"


def _digest_of_input(path: Path) -> str:
    """The digest as `resolve_input` computes it: of a file, of a folder, or of an artifact's manifest."""
    if not path.is_dir():
        return digest.of_file(path)
    if (path / MANIFEST).is_file():
        artifact = load_artifact(path)
        return "changed" if verify_artifact(artifact) else artifact.manifest.digest
    return digest.of_json(digest.of_files(path))


def _by_digest(present: list[Artifact]) -> dict[str, list[Artifact]]:
    by_digest: dict[str, list[Artifact]] = {}
    for artifact in present:
        by_digest.setdefault(artifact.manifest.digest, []).append(artifact)
    return by_digest


def _locate(
    project: Project, parent: Parent, by_digest: dict[str, list[Artifact]]
) -> tuple[Artifact | None, Status]:
    """Look a parent up by digest.  Of artifacts with the same digest, the recorded name is preferred."""
    if built_in_digest(parent.name, parent.digest) is not None:
        return None, "built-in"
    if parent.name.startswith(OUTSIDE):
        path = file_of(project, parent)
        if path is None:
            return None, "outside"
        return None, "present" if path.exists() else "missing"
    same = sorted(by_digest.get(parent.digest, []), key=lambda candidate: candidate.label != parent.name)
    return (same[0], "present") if same else (None, "missing")
