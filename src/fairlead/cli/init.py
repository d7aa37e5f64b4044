"""`fairlead init`: a new project folder."""

from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.output import AsJson, print_result, relative_path
from fairlead.store.project import PROJECT_FILE, create_project


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to make; files that are there are kept.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a project: a folder that keeps data, models and runs together.

    Example: fairlead init my-model
    """
    home = create_project(folder)
    print_result(
        {"project": str(home.root)},
        [
            f"A project at {relative_path(home.root)}: guidelines/ says what raters look at, data/ takes your rows."
        ],
        as_json=as_json,
        wrote=[home.root / PROJECT_FILE, home.root / "guidelines" / "helpful.md"],
        next=f"cd {relative_path(home.root)} && fairlead data import SOURCE --out data/rows.jsonl",
    )
