"""Resolve the references of a configuration: artifacts, files, folders, models of the Hub, rules and judges.

References are resolved and digested before a run starts.  Nothing is loaded or downloaded here.
"""

import difflib
import importlib.util
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fairlead.core import digest
from fairlead.core.config import Ref
from fairlead.core.errors import ProjectError
from fairlead.core.plural import listed
from fairlead.core.spelling import KEYS, Spelling
from fairlead.store.artifact import Artifact, find_artifacts, load_artifacts, only_artifact
from fairlead.store.project import ARTIFACT_KINDS, Project

# A snapshot is a dataset that was exported from the studio.
ACCEPTED_KINDS = {"dataset": ("dataset", "snapshot")}

LLM = "llm:"  # a TOML file that describes a language model as a judge (`rollout/judge_file.py`)
RULE = "rule:"  # a Python file, an importable module or a name below that scores answers
# Rules that Fairlead brings (`rollout/ready_made_rules.py`): name -> an example with its argument.
READY_MADE = {
    "maths": "maths",
    "exact": "exact",
    "regex": "regex=[0-9]+",
    "format": "format=json",
    "length": "length=20-100",
    "language": "language=en",
}
# Chat templates that Fairlead brings (`encoding/built_in_templates.py`).
BUILT_IN_TEMPLATES = ("chatml", "llama3", "gemma", "mistral", "zephyr", "plain")
_HUB_ADDRESS = re.compile(r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)(.+)")


@dataclass(frozen=True)
class ResolvedInput:
    ref: str  # as written in the configuration
    name: str  # as shown in lineage
    digest: str
    location: Path | None  # None for a model of the Hub and for a module
    artifact: Artifact | None

    @property
    def load_from(self) -> str:
        """Where to load a model from: a folder, a name of the Hub, `rule:` with a path or module name, or
        `llm:` with a path.
        """
        prefix = next((prefix for prefix in (RULE, LLM) if self.ref.startswith(prefix)), "")
        return self.ref if self.location is None else f"{prefix}{self.location}"


def resolve_input(
    project: Project, field: str, mark: Ref, ref: str, spelling: Spelling = KEYS
) -> ResolvedInput:
    """Resolve a reference; raises ProjectError, which spells the field, if nothing matches."""
    field = spelling.name(field)
    if mark.kind in ("model", "reward-model"):
        ref = _without_web_address(field, ref)
    if mark.kind == "reward-model" and ref.startswith(RULE):
        return _rule(project, field, ref)
    if mark.kind == "reward-model" and ref.startswith(LLM):
        return _llm(project, field, ref)
    if mark.kind == "template":
        path = _existing_path(project, ref)
        if path is not None and path.is_file():
            return _outside(project, ref, path)
        # The name of a template, which is looked up when the model is loaded.
        return ResolvedInput(ref, f"template:{ref}", f"template:{ref}", None, None)
    accepted = ACCEPTED_KINDS.get(mark.kind, (mark.kind,))
    matches = find_artifacts(project, os.path.expanduser(ref))
    artifact = only_artifact(ref, [match for match in matches if match.manifest.kind in accepted])
    if artifact is not None:
        in_project = artifact.folder.resolve().is_relative_to(project.artifacts.resolve())
        name = artifact.label if in_project else _file_name(project, artifact.folder)
        return ResolvedInput(ref, name, artifact.manifest.digest, artifact.folder, artifact)
    if matches:
        raise ProjectError(
            f"{field} = {ref!r}: is a {matches[0].manifest.kind} ({matches[0].label}). Name a {mark.kind}."
        )
    path = _existing_path(project, ref)
    if path is not None:
        return _outside(project, ref, path)
    if (
        mark.kind in ("model", "reward-model")
        and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", ref)
        and ref.split("/")[0] not in ARTIFACT_KINDS
    ):
        return ResolvedInput(ref, f"hub:{ref}", f"hub:{ref}", None, None)
    raise ProjectError(
        f"{field} = {ref!r}: no such {mark.kind} in the project, and no such path. "
        f"{_hint(project, accepted, ref)}"
    )


def _without_web_address(field: str, ref: str) -> str:
    """OWNER/NAME of the address of a model's page on the Hub; any other reference as it is."""
    address = _HUB_ADDRESS.match(ref)
    if address is None and re.match(r"https?://", ref) is None:
        return ref
    repository = (
        None if address is None else re.fullmatch(r"([\w.-]+/[\w.-]+?)/?(?:tree/main/?)?", address[1])
    )
    if repository is None or repository[1].partition("/")[0] in ("datasets", "spaces"):
        raise ProjectError(
            f"{field} = {ref!r}: is not the address of a model on the Hub. "
            "Write OWNER/NAME as on huggingface.co, or the path of a folder with the model."
        )
    return repository[1]


def _rule(project: Project, field: str, ref: str) -> ResolvedInput:
    """Resolve a rule, a file or an importable module, and digest its source."""
    target = ref.removeprefix(RULE)
    if target.partition("=")[0] in READY_MADE:
        return ResolvedInput(ref, f"module:{target}", _digest_of_ready_made(target), None, None)
    path = _existing_path(project, target)
    if path is not None and path.is_file():
        return _outside(project, ref, path)
    source = _module_source(target) if path is None and not target.endswith(".py") else None
    if source is None:
        raise ProjectError(
            f"{field} = {ref!r}: no such file or module. Write rule: and the path of a Python file, "
            "the dotted name of a module that Python can import, or one of the rules that Fairlead brings: "
            f"{', '.join(READY_MADE.values())}."
        )
    return ResolvedInput(ref, f"module:{target}", digest.of_file(source), None, None)


def built_in_digest(name: str, recorded_digest: str) -> str | None:
    """The digest of a parent that belongs to the installed Fairlead, as `resolve_input` names it: one of its
    templates, rules or modules.  None for any other parent.

    A file of the project may have the name of a rule; the recorded digest tells them apart.
    """
    prefix, _, target = name.partition(":")
    if prefix == "template":
        return name if target in BUILT_IN_TEMPLATES else None
    if prefix != "module":
        return None
    if target.partition("=")[0] in READY_MADE and recorded_digest == _digest_of_ready_made(target):
        return recorded_digest
    source = _module_source(target) if target.partition(".")[0] == "fairlead" else None
    return None if source is None else digest.of_file(source)


def _digest_of_ready_made(target: str) -> str:
    return digest.of_json({"rule": target})


def _llm(project: Project, field: str, ref: str) -> ResolvedInput:
    """Resolve the file of a judge behind an endpoint, and digest it."""
    path = _existing_path(project, ref.removeprefix(LLM)) if ref != LLM else None
    if path is None or not path.is_file():
        raise ProjectError(
            f"{field} = {ref!r}: no such file. Write llm: and the path of a TOML file with url, model and "
            "rubric."
        )
    return _outside(project, ref, path)


def _module_source(name: str) -> Path | None:
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:  # a parent package does not exist
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def _existing_path(project: Project, ref: str) -> Path | None:
    """The path relative to the working directory, or else relative to the root of the project."""
    ref = os.path.expanduser(ref)
    return next((path for path in (Path(ref), project.root / ref) if path.exists()), None)


def _outside(project: Project, ref: str, path: Path) -> ResolvedInput:
    sha = _digest_of_folder(path.resolve(), _state(path)) if path.is_dir() else digest.of_file(path)
    return ResolvedInput(ref, _file_name(project, path), sha, path, None)


@lru_cache(maxsize=32)
def _digest_of_folder(path: Path, state: tuple[tuple[str, int, int, int], ...]) -> str:
    """The digest of a folder.  A command resolves a model several times; its weights are read once.

    `state` is part of the key of the cache only: a changed file changes it.
    """
    return digest.of_json(digest.of_files(path))


def _state(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Name, size and times of every file below the folder."""
    stats = [(str(path), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return tuple((path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats)


def _file_name(project: Project, path: Path) -> str:
    """`file:data/rows.jsonl`, or `file:./rows.jsonl` in the root of the project, or `file:rows.jsonl`
    elsewhere.

    The name is part of the digests of descendants, so it must not depend on where the file is on this
    machine.
    """
    full = path.resolve()
    root = project.root.resolve()
    if not full.is_relative_to(root):
        return f"file:{full.name}"
    relative = full.relative_to(root).as_posix()
    return f"file:{relative}" if "/" in relative else f"file:./{relative}"


def _hint(project: Project, accepted: tuple[str, ...], ref: str) -> str:
    present, _ = load_artifacts(project)
    matching = [artifact for artifact in present if artifact.manifest.kind in accepted]
    names = [artifact.manifest.name for artifact in matching]
    labels = [artifact.label for artifact in matching]
    near = difflib.get_close_matches(ref, [*names, *labels], n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    if labels:
        return f"The project has: {listed(labels)}."
    return f"The project has no {' and no '.join(accepted)} yet."
