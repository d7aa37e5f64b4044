"""A project folder: where its parts lie, how it is made and found.  Nothing here reads an artifact or a run."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import ProjectError

ARTIFACT_KINDS = ("dataset", "snapshot", "model", "reward-model", "rollouts", "evaluation", "report")

PROJECT_FILE = "fairlead.toml"
PROJECT_FORMAT = 1
MAX_NAME = 100  # leaves room, within the 255 bytes of a file name, for a run's recipe and digest

_TOML = """\
# This file marks a Fairlead project.  Commands find it from any folder below this one.
#
#   data/        JSON Lines that you bring or import
#   guidelines/  what raters are asked to look at, one Markdown file per aspect
#   artifacts/   what commands made, as KIND/NAME with a manifest; never edited by hand
#   runs/        one folder per run: configuration, metrics, events, checkpoints, report
#   cache/       what can be computed again; may be deleted at any time

format = 1  # of this folder's layout; raised only when an older Fairlead could no longer read it
"""

_GUIDELINE = """\
# Which answer is more helpful?

Read the whole prompt, then both answers to their end.  Prefer the answer that you would rather have received, had you asked.

Look at, in this order:

1. **Does it do what was asked?**  All of it, in the form that was asked for.
2. **Is it true?**  A confident mistake is worse than an honest "I am not sure".  Check what you can check in a minute.
3. **Is it safe?**  Prefer a polite refusal to help with serious harm.  Do not prefer a refusal of something harmless.
4. **Is it easy to use?**  Clear, well ordered, no longer than it has to be.

Do not reward length, flattery, a confident tone or pretty formatting for their own sake.
The order in which the answers are shown means nothing.

If both are equally good, or equally bad, say so: a tie is an answer.  If you cannot judge (a language or a subject that you
do not know, something that upsets you), skip it.
"""

_GITIGNORE = """\
/artifacts/
/runs/
/cache/
/studio.db*
"""


@dataclass(frozen=True)
class Project:
    root: Path

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        """What can be computed again."""
        return self.root / "cache"

    @property
    def data(self) -> Path:
        return self.root / "data"


def check_name(name: str) -> str:
    """The name itself, when it can name an artifact; names become folders, so what means something to a path is refused."""
    if len(name) > MAX_NAME or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        rule = f"at most {MAX_NAME} letters, digits, '.', '_' and '-', starting with a letter or digit"
        raise ProjectError(f"The name {name!r} cannot be used: use {rule}.")
    return name


def create_project(root: Path) -> Project:
    """Make the folders and the files that a project starts with; files that are already there are kept."""
    if (root / PROJECT_FILE).exists():
        raise ProjectError(f"{root / PROJECT_FILE}: this folder is already a project. Nothing was changed.")
    if root.exists() and not root.is_dir():
        raise ProjectError(f"{root}: is a file; a project needs a folder. Choose another place.")
    project = Project(root)
    for folder in (project.data, project.artifacts, project.runs):
        folder.mkdir(parents=True, exist_ok=True)
    # The marker comes last: until it is there, a killed `init` can simply be repeated.
    for name, text in (
        ("guidelines/helpful.md", _GUIDELINE),
        (".gitignore", _GITIGNORE),
        (PROJECT_FILE, _TOML),
    ):
        if not (root / name).exists():
            files.write_text(root / name, text)
    return load_project(root)


def load_project(root: Path) -> Project:
    found = read_settings(root).get("format", PROJECT_FORMAT)
    if found != PROJECT_FORMAT:
        raise ProjectError(
            f"{root / PROJECT_FILE}: format = {found!r}, but this Fairlead knows format {PROJECT_FORMAT}. Install a newer Fairlead."
        )
    return Project(root)


def read_settings(root: Path) -> dict[str, Any]:
    """What the marker says."""
    marker = root / PROJECT_FILE
    try:
        return tomllib.loads(marker.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(
            f"{root}: is not a project (it has no {PROJECT_FILE}). Make it one with `fairlead init {root}`."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectError(f"{marker}: cannot be read as TOML: {error}.") from error


def find_project(start: Path) -> Project:
    """The project that `start` lies in: the nearest folder upwards that has a marker."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return load_project(folder)
    raise ProjectError(
        f"{start}: neither this folder nor one above it is a project. Make one here with `fairlead init .`."
    )
