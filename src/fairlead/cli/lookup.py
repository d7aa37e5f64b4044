"""Where a command works: the project, and what the name of a model means there."""

from pathlib import Path
from typing import Annotated

import typer

from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.store import artifact as artifacts
from fairlead.store import inputs, project
from fairlead.store.project import Project

ProjectDir = Annotated[
    Path | None,
    typer.Option("--project", metavar="DIR", help="The project's folder; otherwise found upwards from here."),
]


def open_project(folder: Path | None) -> Project:
    return project.find(Path.cwd()) if folder is None else project.open_at(folder)


def find_model(ref: str, folder: Path | None, *, or_reward_model: bool = False) -> inputs.Input:
    """An artifact, a folder, or a name of the Hub; outside of a project only the last two."""
    if folder is None and not _in_project():
        return _without_project(ref)
    home = open_project(folder)
    kind = "model"
    if or_reward_model and {found.manifest.kind for found in artifacts.find_all(home, ref)} == {
        "reward-model"
    }:
        kind = "reward-model"
    return inputs.resolve(home, "MODEL", Ref(kind), ref)


def load_path(found: inputs.Input) -> str:
    """What a model is loaded from: its folder, or its name on the Hub."""
    return found.ref if found.location is None else str(found.location)


def _in_project() -> bool:
    here = Path.cwd()
    return any((folder / project.MARKER).is_file() for folder in (here, *here.parents))


def _without_project(ref: str) -> inputs.Input:
    path = Path(ref)
    if path.exists():
        return inputs.Input(ref, f"file:{path.name}", "", path, None)
    if ref.count("/") == 1 and not ref.startswith((".", "/", "~")):
        return inputs.Input(ref, f"hub:{ref}", f"hub:{ref}", None, None)
    raise ProjectError(
        f"{ref!r}: no such folder, and {Path.cwd()} lies in no project whose artifacts it could name. See --project."
    )
