"""What a configuration's references mean: an artifact of the project, a file or folder, a model of the Hub, or a rule.

Everything is found, and its digest taken, before the run starts.  Nothing is loaded or downloaded here.
"""

import difflib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from fairlead.core import digest
from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.store.artifact import Artifact, find_artifacts, load_artifacts, only_artifact
from fairlead.store.project import ARTIFACT_KINDS, Project

# A snapshot of people's labels is a dataset whose rows came from the studio.
ACCEPTED_KINDS = {"dataset": ("dataset", "snapshot")}

RULE = "rule:"  # a Python file or an importable module that scores answers


@dataclass(frozen=True)
class ResolvedInput:
    ref: str  # as the configuration has it
    name: str  # as lineage shows it
    digest: str
    location: Path | None  # None: a name of the Hub, or a module
    artifact: Artifact | None


def resolve_input(project: Project, field: str, mark: Ref, ref: str) -> ResolvedInput:
    """The input that a reference names; raises ProjectError when there is none."""
    if mark.kind == "reward-model" and ref.startswith(RULE):
        return _rule(project, field, ref)
    accepted = ACCEPTED_KINDS.get(mark.kind, (mark.kind,))
    found = find_artifacts(project, ref)
    artifact = only_artifact(ref, [each for each in found if each.manifest.kind in accepted])
    if artifact is not None:
        own = artifact.folder.resolve().is_relative_to(project.artifacts.resolve())
        name = artifact.label if own else f"file:{artifact.folder.name}"
        return ResolvedInput(ref, name, artifact.manifest.digest, artifact.folder, artifact)
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
        and ref.split("/")[0] not in ARTIFACT_KINDS
    ):
        return ResolvedInput(ref, f"hub:{ref}", f"hub:{ref}", None, None)
    raise ProjectError(
        f"{field} = {ref!r}: there is no such {mark.kind} in the project, and no such path. {_hint(project, accepted, ref)}"
    )


def _rule(project: Project, field: str, ref: str) -> ResolvedInput:
    """A rule by the digest of its source: a file, or a module that Python can import."""
    target = ref.removeprefix(RULE)
    path = _existing_path(project, target)
    if path is not None and path.is_file():
        return _outside(project, ref, path)
    source = _module_source(target) if path is None and not target.endswith(".py") else None
    if source is None:
        raise ProjectError(
            f"{field} = {ref!r}: no such file or module. Write rule: and the path of a Python file, "
            "or the dotted name of a module that Python can import."
        )
    return ResolvedInput(ref, f"module:{target}", digest.of_file(source), None, None)


def _module_source(name: str) -> Path | None:
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:  # a parent package is missing
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def _existing_path(project: Project, ref: str) -> Path | None:
    """From where the command was given, then from the project's root."""
    return next((path for path in (Path(ref), project.root / ref) if path.exists()), None)


def _outside(project: Project, ref: str, path: Path) -> ResolvedInput:
    sha = digest.of_json(digest.of_files(path)) if path.is_dir() else digest.of_file(path)
    full, root = path.resolve(), project.root.resolve()
    # Part of the digest of whatever is made from it, so it must not say where on this machine the file lies.
    name = full.relative_to(root).as_posix() if full.is_relative_to(root) else full.name
    return ResolvedInput(ref, f"file:{name}", sha, path, None)


def _hint(project: Project, accepted: tuple[str, ...], ref: str) -> str:
    present, _ = load_artifacts(project)
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
