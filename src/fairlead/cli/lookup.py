"""Where a command works: the project, and what the name of a model means there."""

from pathlib import Path
from typing import Annotated

import typer

from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.store import resolve_inputs
from fairlead.store.artifact import find_artifacts
from fairlead.store.project import PROJECT_FILE, Project, find_project, load_project

ProjectDir = Annotated[
    Path | None,
    typer.Option("--project", metavar="DIR", help="The project's folder; otherwise found upwards from here."),
]


def open_project(folder: Path | None) -> Project:
    return find_project(Path.cwd()) if folder is None else load_project(folder)


def find_model(
    ref: str, folder: Path | None, *, or_reward_model: bool = False
) -> resolve_inputs.ResolvedInput:
    """An artifact, a folder, or a name of the Hub; outside of a project only the last two."""
    if folder is None and not _in_project():
        return _without_project(ref)
    home = open_project(folder)
    kind = "model"
    if or_reward_model and {found.manifest.kind for found in find_artifacts(home, ref)} == {"reward-model"}:
        kind = "reward-model"
    return resolve_inputs.resolve_input(home, "MODEL", Ref(kind), ref)


def load_path(found: resolve_inputs.ResolvedInput) -> str:
    """What a model is loaded from: its folder, or its name on the Hub."""
    return found.ref if found.location is None else str(found.location)


def _in_project() -> bool:
    here = Path.cwd()
    return any((folder / PROJECT_FILE).is_file() for folder in (here, *here.parents))


def _without_project(ref: str) -> resolve_inputs.ResolvedInput:
    path = Path(ref)
    if path.exists():
        return resolve_inputs.ResolvedInput(ref, f"file:{path.name}", "", path, None)
    if ref.count("/") == 1 and not ref.startswith((".", "/", "~")):
        return resolve_inputs.ResolvedInput(ref, f"hub:{ref}", f"hub:{ref}", None, None)
    raise ProjectError(
        f"{ref!r}: no such folder, and {Path.cwd()} lies in no project whose artifacts it could name. See --project."
    )
