"""`fairlead lineage`: what an artifact was made from, and whether all of it is as it was."""

from typing import Annotated, Any

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.core.errors import ProjectError
from fairlead.store import lineage
from fairlead.store.artifact import MANIFEST, Artifact, find_artifact, load_artifacts
from fairlead.store.lineage import LineageNode
from fairlead.store.project import Project

app = typer.Typer(help="What an artifact was made from, and whether it is unchanged.", no_args_is_help=True)


@app.command("show")
def show(
    ref: Annotated[
        str, typer.Argument(metavar="ARTIFACT", help="A name, KIND/NAME, or a digest or its beginning.")
    ],
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Everything that an artifact was made from, back to the first file.

    Example: fairlead lineage show aligned
    """
    home = open_project(project)
    found = _find(home, ref)
    tree = lineage.ancestors(home, found)
    print_result(
        {"artifact": found.label, "digest": found.manifest.digest, "nodes": _flat(tree)},
        [lineage.render_text(tree).rstrip()],
        as_json=as_json,
        read=[found.folder / MANIFEST],
        next=f"fairlead lineage verify {found.label}",
    )


@app.command("verify")
def verify(
    ref: Annotated[
        str | None, typer.Argument(metavar="[ARTIFACT]", help="Without it, the whole project.")
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Compute every digest again; exit 1 where something is not as it was.

    Example: fairlead lineage verify aligned
    """
    home = open_project(project)
    found = None if ref is None else _find(home, ref)
    problems = lineage.verify(home, found)
    what = "the project" if found is None else f"{found.label} and all that it was made from"
    verdict = (
        f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'} in {what}."
        if problems
        else f"Every digest of {what} is as recorded."
    )
    print_result(
        {"artifact": None if found is None else found.label, "ok": not problems, "problems": problems},
        [*problems, verdict],
        as_json=as_json,
        read=[home.artifacts if found is None else found.folder],
    )
    if problems:
        print_note(f"ProjectError  {verdict} Make those artifacts again, or bring back their files.")
        raise typer.Exit(1)


def _find(home: Project, ref: str) -> Artifact:
    found = find_artifact(home, ref)
    if found is None:
        names = ", ".join(each.label for each in load_artifacts(home)[0])
        raise ProjectError(
            f"{ref!r}: there is no such artifact. {f'The project has: {names}.' if names else 'The project has none yet.'}"
        )
    return found


def _flat(root: LineageNode) -> list[dict[str, Any]]:
    """Each node once, however often it was used; the edges are in `parents`."""
    nodes: dict[str, dict[str, Any]] = {}
    waiting = [root]
    while waiting:
        node, waiting = waiting[0], waiting[1:]
        if node.digest not in nodes:
            parents = [
                {"role": parent.role, "name": parent.label, "digest": parent.digest}
                for parent in node.parents
            ]
            nodes[node.digest] = {
                "name": node.label,
                "digest": node.digest,
                "status": node.status,
                "parents": parents,
            }
            waiting += node.parents
    return list(nodes.values())
