"""`fairlead lineage`: show what an artifact was made from, and verify that it is unchanged."""

from typing import Annotated, Any

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.core.errors import ProjectError
from fairlead.core.plural import counted, listed
from fairlead.store import lineage as store_lineage
from fairlead.store.artifact import MANIFEST, Artifact, find_artifact, load_artifacts
from fairlead.store.lineage import LineageNode
from fairlead.store.project import Project

app = typer.Typer(help="Show and verify what an artifact was made from.", no_args_is_help=True)


@app.command("show")
def show(
    ref: Annotated[
        str, typer.Argument(metavar="ARTIFACT", help="A name, KIND/NAME, or a digest or its beginning.")
    ],
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Show everything that an artifact was made from, back to the first file.

    Example: fairlead lineage show aligned
    """
    opened_project = open_project(project)
    artifact = _find(opened_project, ref)
    root = store_lineage.ancestors(opened_project, artifact)
    print_result(
        {"artifact": artifact.label, "digest": artifact.manifest.digest, "nodes": _unique_nodes(root)},
        [store_lineage.render_text(root).rstrip()],
        as_json=as_json,
        read=[artifact.folder / MANIFEST],
        next=f"fairlead lineage verify {artifact.label}",
    )


@app.command("verify")
def verify(
    ref: Annotated[
        str | None, typer.Argument(metavar="[ARTIFACT]", help="Artifact to verify; by default the project.")
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Recompute all digests of an artifact, its ancestors and their files; exit with 1 after any change.

    Example: fairlead lineage verify aligned
    """
    opened_project = open_project(project)
    artifact = None if ref is None else _find(opened_project, ref)
    verification = store_lineage.verify(opened_project, artifact)
    problems = verification.problems
    scope = "the project" if artifact is None else f"{artifact.label} and its ancestors"
    verdict = f"Every digest of {scope} is as recorded."
    if problems:
        verdict = f"{counted(len(problems), 'problem')} in {scope}."
    print_result(
        {
            "artifact": None if artifact is None else artifact.label,
            "ok": not problems,
            "problems": problems,
            "not_checked": verification.not_checked,
            "built_in": verification.built_in,
        },
        [*verification.built_in, *verification.not_checked, *problems, verdict],
        as_json=as_json,
        read=[opened_project.artifacts if artifact is None else artifact.folder],
    )
    if problems:
        print_note(f"ProjectError  {verdict} Restore the files, or make these artifacts again.")
        raise typer.Exit(1)


def _find(project: Project, ref: str) -> Artifact:
    artifact = find_artifact(project, ref)
    if artifact is None:
        labels = listed([artifact.label for artifact in load_artifacts(project)[0]])
        available = f"The project has: {labels}." if labels else "The project has no artifacts yet."
        raise ProjectError(f"{ref!r}: no such artifact. {available}")
    return artifact


def _unique_nodes(root: LineageNode) -> list[dict[str, Any]]:
    """Each node once, even if several artifacts use it; `parents` holds the edges."""
    nodes: dict[str, dict[str, Any]] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        if node.digest not in nodes:
            nodes[node.digest] = {
                "name": node.label,
                "digest": node.digest,
                "status": node.status,
                "parents": [
                    {"role": parent.role, "name": parent.label, "digest": parent.digest}
                    for parent in node.parents
                ],
            }
            waiting += node.parents
    return list(nodes.values())
