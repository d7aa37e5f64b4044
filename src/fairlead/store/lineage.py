"""Lineage: which artifacts an artifact was made from, back to what came from outside, and whether all of it is as it was.

Parents are found by digest, never by name.  A plain file, a module or a model of the Hub is "outside": its digest is recorded, and is not
computed again here.
"""

from dataclasses import dataclass
from typing import Literal

from fairlead.core.errors import ProjectError
from fairlead.store.artifact import Artifact, Parent, brief_digest, load_artifacts, verify_artifact
from fairlead.store.project import Project

Status = Literal["present", "missing", "outside"]

OUTSIDE = ("file:", "module:", "hub:")  # how the name of a parent begins that is no artifact of this project


@dataclass(frozen=True)
class LineageNode:
    label: str
    digest: str
    role: str  # what it was to its child; empty at the root
    artifact: Artifact | None
    status: Status
    parents: tuple["LineageNode", ...]


def ancestors(project: Project, artifact: Artifact) -> LineageNode:
    """The tree above `artifact`; something used twice appears twice, as the same nodes."""
    present, _ = load_artifacts(project)
    by_digest = _by_digest(present)
    known: dict[
        str, tuple[LineageNode, ...]
    ] = {}  # the parents of each digest, so that a long history costs its length, not its paths

    def parents(child: Artifact, below: tuple[str, ...]) -> tuple[LineageNode, ...]:
        key = child.manifest.digest
        if key in below:  # only a manifest written by hand can say so
            raise ProjectError(
                f"{child.label}: is its own ancestor, so a manifest was changed. See `fairlead lineage verify`."
            )
        if key not in known:
            known[key] = tuple(node(parent, (*below, key)) for parent in child.manifest.parents)
        return known[key]

    def node(parent: Parent, below: tuple[str, ...]) -> LineageNode:
        found, status = _locate(parent, by_digest)
        above = parents(found, below) if found else ()
        return LineageNode(
            found.label if found else parent.name, parent.digest, parent.role, found, status, above
        )

    return LineageNode(
        artifact.label, artifact.manifest.digest, "", artifact, "present", parents(artifact, ())
    )


def render_text(node: LineageNode) -> str:
    """An indented tree, newest first; a history that was already drawn is not drawn again."""
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
    """Every problem of `artifact` and of all that it was made from, or of the whole project; an empty list is good news."""
    present, unreadable = load_artifacts(project)
    by_digest = _by_digest(present)
    # An unreadable folder may be the very parent that one artifact misses, so it is told in both cases.
    problems = list(unreadable)
    waiting = present if artifact is None else [artifact]
    seen = {each.folder for each in waiting}
    while waiting:
        each, waiting = waiting[0], waiting[1:]
        problems += verify_artifact(each)
        for parent in each.manifest.parents:
            found, status = _locate(parent, by_digest)
            if status == "missing":
                problems.append(
                    f"{each.label}: its {parent.role}, {parent.name} ({brief_digest(parent.digest)}), is not in the project."
                )
            elif found is not None and found.folder not in seen:
                seen.add(found.folder)
                waiting = [*waiting, found]
    return problems


def _by_digest(present: list[Artifact]) -> dict[str, list[Artifact]]:
    by_digest: dict[str, list[Artifact]] = {}
    for artifact in present:
        by_digest.setdefault(artifact.manifest.digest, []).append(artifact)
    return by_digest


def _locate(parent: Parent, by_digest: dict[str, list[Artifact]]) -> tuple[Artifact | None, Status]:
    """Two artifacts of one digest are the same thing under two names: the name that was used is preferred."""
    if parent.name.startswith(OUTSIDE):
        return None, "outside"
    same = sorted(by_digest.get(parent.digest, []), key=lambda found: found.label != parent.name)
    return (same[0], "present") if same else (None, "missing")
