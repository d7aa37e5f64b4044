"""Project folders: layout, creation and lookup.  Artifacts and runs are read elsewhere."""

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
MAX_NAME = 100  # file names have up to 255 bytes; a run id adds a recipe and a digest to the name

_TOML = """\
# This file marks a Fairlead project.  Commands find it from any folder below this one.
#
#   data/        JSON Lines files that you add or import
#   guidelines/  instructions for raters, one Markdown file per aspect
#   artifacts/   outputs of commands, as KIND/NAME with a manifest; do not edit
#   runs/        one folder per run: configuration, metrics, events, checkpoints, report
#   cache/       files that can be recomputed; may be deleted at any time

format = 1  # version of the folder layout; older versions of Fairlead refuse newer layouts
"""

_GUIDELINE = """\
# Which answer is more helpful?

Read the whole prompt and both answers.  Prefer the answer that you would rather have received as the user.

Check, in this order:

1. **Does the answer do what the user asked for?**  All of it, in the requested form.
2. **Is it true?**  A confident mistake is worse than an honest "I am not sure".  Check simple facts.
3. **Is it safe?**  Prefer a polite refusal to help with serious harm.  A harmless request deserves an answer.
4. **Is it easy to use?**  It should be clear, well ordered and no longer than necessary.

Do not reward length, flattery, a confident tone or formatting for their own sake.
The order in which the answers are shown has no meaning.

If both answers are equally good or equally bad, choose a tie.  Skip the item if you cannot judge it: you do
not know the language or the subject, or it upsets you.
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
        """Files that can be recomputed and may be deleted."""
        return self.root / "cache"

    @property
    def data(self) -> Path:
        return self.root / "data"


def check_name(name: str) -> str:
    """Return `name` if it is a valid artifact name.  Names become folders, so path syntax is refused."""
    if len(name) > MAX_NAME or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        rule = f"at most {MAX_NAME} letters, digits, '.', '_' and '-', starting with a letter or digit"
        raise ProjectError(f"The name {name!r} is invalid. Use {rule}.")
    return name


def create_project(root: Path) -> Project:
    """Create the folders and initial files of a project; existing files are kept."""
    if (root / PROJECT_FILE).exists():
        raise ProjectError(f"{root / PROJECT_FILE}: this folder is already a project. Nothing was changed.")
    if root.exists() and not root.is_dir():
        raise ProjectError(f"{root}: is a file, and a project needs a folder. Choose another path.")
    project = Project(root)
    for folder in (project.data, project.artifacts, project.runs):
        folder.mkdir(parents=True, exist_ok=True)
    # fairlead.toml is written last, so that an interrupted `init` can be repeated.
    for name, text in (
        ("guidelines/helpful.md", _GUIDELINE),
        (".gitignore", _GITIGNORE),
        (PROJECT_FILE, _TOML),
    ):
        if not (root / name).exists():
            files.write_text(root / name, text)
    return load_project(root)


def load_project(root: Path) -> Project:
    version = read_settings(root).get("format", PROJECT_FORMAT)
    if version != PROJECT_FORMAT:
        raise ProjectError(
            f"{root / PROJECT_FILE}: format = {version!r}, but this version of Fairlead reads "
            f"format {PROJECT_FORMAT}. Install a newer version."
        )
    return Project(root)


def read_settings(root: Path) -> dict[str, Any]:
    """The contents of fairlead.toml."""
    path = root / PROJECT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(
            f"{root}: not a project (no {PROJECT_FILE}). Create one with `fairlead init {root}`."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectError(f"{path}: cannot be read as TOML: {error}. Correct the file.") from error


def find_project(start: Path) -> Project:
    """The project that contains `start`: the nearest parent folder with a fairlead.toml."""
    root = project_root(start)
    if root is not None:
        return load_project(root)
    raise ProjectError(
        f"{start.resolve()}: neither this folder nor a parent folder is a project. "
        "Create a project here with `fairlead init .`."
    )


def project_root(start: Path) -> Path | None:
    """The nearest folder with a fairlead.toml, from `start` upwards."""
    start = start.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / PROJECT_FILE).is_file()), None)
