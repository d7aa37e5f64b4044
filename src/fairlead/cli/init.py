"""`fairlead init`: create a project folder."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.output import AsJson, print_result, relative_path
from fairlead.store.project import PROJECT_FILE, create_project


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create; existing files are kept.")],
    as_json: AsJson = False,
) -> None:
    """Create a project folder for data, models and runs.

    Example: fairlead init my-model
    """
    project = create_project(folder)
    root = relative_path(project.root)
    enter = "" if str(root) == "." else f"cd {shlex.quote(str(root))} && "
    print_result(
        {"project": str(project.root)},
        [f"Created a project at {root}: guidelines for raters in guidelines/, your rows in data/."],
        as_json=as_json,
        wrote=[project.root / PROJECT_FILE, project.root / "guidelines" / "helpful.md"],
        next=f"{enter}fairlead data import SOURCE --out data/rows.jsonl",
    )
