"""What a configuration's references mean: an artifact of the project, a file or folder, a model of the Hub, or a rule.

Everything is found, and its digest taken, before the run starts.  Nothing is loaded or downloaded here.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from fairlead.core import digest
from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.store import artifact as artifacts
from fairlead.store.artifact import Artifact
from fairlead.store.project import KINDS, Project

# A snapshot of people's labels is a dataset whose rows came from the studio.
ACCEPTED = {"dataset": ("dataset", "snapshot")}

GOLD = "gold"  # the embedded world's own rule, part of the code
RULE = "rule:"  # a Python file that scores answers


@dataclass(frozen=True)
class Input:
    ref: str  # as the configuration has it
    name: str  # as lineage shows it
    digest: str
    location: Path | None  # None: a name of the Hub
    artifact: Artifact | None


def resolve(project: Project, field: str, mark: Ref, ref: str) -> Input | None:
    """None for what is part of the code and has no file; raises ProjectError when nothing answers to `ref`."""
    if mark.kind == "reward-model" and ref == GOLD:
        return None
    if mark.kind == "reward-model" and ref.startswith(RULE):
        path = _existing_path(project, ref.removeprefix(RULE))
        if path is None or not path.is_file():
            raise ProjectError(f"{field} = {ref!r}: no such file. Write rule: and the path of a Python file.")
        return _outside(project, ref, path)
    accepted = ACCEPTED.get(mark.kind, (mark.kind,))
    found = artifacts.find_all(project, ref)
    artifact = artifacts.only(ref, [each for each in found if each.manifest.kind in accepted])
    if artifact is not None:
        own = artifact.folder.resolve().is_relative_to(project.artifacts.resolve())
        name = artifact.label if own else f"file:{artifact.folder.name}"
        return Input(ref, name, artifact.manifest.digest, artifact.folder, artifact)
    if found:
        raise ProjectError(
            f"{field} = {ref!r}: is a {found[0].manifest.kind} ({found[0].label}), but a {mark.kind} is needed here."
        )
    path = _existing_path(project, ref)
    if path is not None:
        return _outside(project, ref, path)
    if (
        mark.kind == "model"
        and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", ref)
        and ref.split("/")[0] not in KINDS
    ):
        return Input(ref, f"hub:{ref}", f"hub:{ref}", None, None)
    raise ProjectError(
        f"{field} = {ref!r}: there is no such {mark.kind} in the project, and no such path. {_hint(project, accepted, ref)}"
    )


def _existing_path(project: Project, ref: str) -> Path | None:
    """From where the command was given, then from the project's root."""
    return next((path for path in (Path(ref), project.root / ref) if path.exists()), None)


def _outside(project: Project, ref: str, path: Path) -> Input:
    sha = digest.of_json(digest.of_files(path)) if path.is_dir() else digest.of_file(path)
    full, root = path.resolve(), project.root.resolve()
    # Part of the digest of whatever is made from it, so it must not say where on this machine the file lies.
    name = full.relative_to(root).as_posix() if full.is_relative_to(root) else full.name
    return Input(ref, f"file:{name}", sha, path, None)


def _hint(project: Project, accepted: tuple[str, ...], ref: str) -> str:
    present, _ = artifacts.load_all(project)
    names = [each.manifest.name for each in present if each.manifest.kind in accepted]
    labels = [each.label for each in present if each.manifest.kind in accepted]
    near = difflib.get_close_matches(ref, [*names, *labels], n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    return (
        f"The project has: {', '.join(labels)}."
        if labels
        else f"The project has no {' and no '.join(accepted)} yet."
    )
