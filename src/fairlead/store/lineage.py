"""Lineage: the tree of artifacts from which an artifact was made, and its verification.

Parents are looked up by digest, never by name.  A file, a module or a model of the Hub is "outside": its
digest is recorded but not recomputed here.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from fairlead.core.errors import ProjectError
from fairlead.store.artifact import Artifact, Parent, brief_digest, load_artifacts, verify_artifact
from fairlead.store.project import Project

Status = Literal["present", "missing", "outside"]

OUTSIDE = ("file:", "module:", "hub:")  # prefixes of parents that are not artifacts of the project


@dataclass(frozen=True)
class LineageNode:
    label: str
    digest: str
    role: str  # the configuration field of the child that refers to it; empty at the root
    artifact: Artifact | None
    status: Status
    parents: tuple["LineageNode", ...]


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
        artifact, status = _locate(parent, by_digest)
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


def verify(project: Project, artifact: Artifact | None) -> list[str]:
    """All problems of `artifact` and its ancestors, or of the whole project if `artifact` is None."""
    present, unreadable = load_artifacts(project)
    by_digest = _by_digest(present)
    # An unreadable folder may be the parent that is missing, so it is always reported.
    problems = list(unreadable)
    queue = deque(present if artifact is None else [artifact])
    seen = {queued.folder for queued in queue}
    while queue:
        current = queue.popleft()
        problems += verify_artifact(current)
        for parent in current.manifest.parents:
            located, status = _locate(parent, by_digest)
            if status == "missing":
                problems.append(
                    f"{current.label}: its {parent.role}, {parent.name} ({brief_digest(parent.digest)}), "
                    "is not in the project."
                )
            elif located is not None and located.folder not in seen:
                seen.add(located.folder)
                queue.append(located)
    return problems


def _by_digest(present: list[Artifact]) -> dict[str, list[Artifact]]:
    by_digest: dict[str, list[Artifact]] = {}
    for artifact in present:
        by_digest.setdefault(artifact.manifest.digest, []).append(artifact)
    return by_digest


def _locate(parent: Parent, by_digest: dict[str, list[Artifact]]) -> tuple[Artifact | None, Status]:
    """Look a parent up by digest.  Of artifacts with the same digest, the recorded name is preferred."""
    if parent.name.startswith(OUTSIDE):
        return None, "outside"
    same = sorted(by_digest.get(parent.digest, []), key=lambda candidate: candidate.label != parent.name)
    return (same[0], "present") if same else (None, "missing")
