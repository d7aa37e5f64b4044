"""Finds the project of a command, and the model that a name stands for."""

from pathlib import Path
from typing import Annotated

import typer

from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.store.artifact import find_artifacts
from fairlead.store.project import Project, find_project, load_project, project_root
from fairlead.store.resolve_inputs import ResolvedInput, resolve_input

ProjectDir = Annotated[
    Path | None,
    typer.Option("--project", metavar="DIR", help="Project folder; by default this folder or a parent."),
]


def open_project(folder: Path | None) -> Project:
    return find_project(Path.cwd()) if folder is None else load_project(folder)


def find_model(ref: str, folder: Path | None, *, or_reward_model: bool = False) -> ResolvedInput:
    """The artifact, folder or Hub model that `ref` names.  Outside a project there are no artifacts."""
    if folder is None and project_root(Path.cwd()) is None:
        return _outside_project(ref)
    project = open_project(folder)
    kinds = {artifact.manifest.kind for artifact in find_artifacts(project, ref)}
    kind = "reward-model" if or_reward_model and kinds == {"reward-model"} else "model"
    return resolve_input(project, "MODEL", Ref(kind), ref)


def load_path(model: ResolvedInput) -> str:
    """The folder or Hub name that transformers loads the model from."""
    return model.ref if model.location is None else str(model.location)


def _outside_project(ref: str) -> ResolvedInput:
    path = Path(ref)
    if path.exists():
        return ResolvedInput(ref, f"file:{path.name}", "", path, None)
    if ref.count("/") == 1 and not ref.startswith((".", "/", "~")):
        return ResolvedInput(ref, f"hub:{ref}", f"hub:{ref}", None, None)
    raise ProjectError(
        f"{ref!r}: no such folder, and {Path.cwd()} is not inside a project with artifacts. "
        f"Run the command in a project, or name one with --project."
    )
