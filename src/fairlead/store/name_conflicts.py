"""Refuses the name of an artifact that another run made, or is about to make, before any work is done.

A name needs no reservation of its own: a run folder is one.  A run at work holds its lock, and a run with a
checkpoint or metrics can be resumed.  Both will publish their artifact, so their name is taken.  A run that
ended before its first step, or failed without a checkpoint, has nothing to lose and gives its name free.
"""

import errno
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core.errors import ProjectError
from fairlead.core.spelling import KEYS, Spelling, capitalised
from fairlead.store.artifact import Artifact, load_artifact
from fairlead.store.project import Project

# What a run resumes from, or what a reader would miss: checkpoints, metrics, answers of best-of-n, members of
# an ensemble, replies of a judge.
JUDGE_REPLIES = "judge_replies.jsonl"
PROGRESS = ("checkpoints", "metrics.jsonl", "answers", "members", JUDGE_REPLIES)
STAGE = "stage"  # the event of a run whose stages are runs of their own
FAILED = "failed"  # the event of a run that ended with an error
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
MAX_DIFFERENCES = 4  # shown in a message


@dataclass(frozen=True)
class RunRequest:
    """What a command asks for: the artifact to make, and from what."""

    id: str
    recipe: str
    kind: str
    name: str
    config: Mapping[str, Any]  # resolved, nested
    inputs: Mapping[str, str]  # role -> digest
    spelling: Spelling = KEYS

    @property
    def rename(self) -> str:
        """How to make the artifact under another name; commands with options choose the name themselves."""
        return "" if self.spelling.with_options else "choose another name=, or "


@contextmanager
def opening_lock(project: Project) -> Iterator[None]:
    """Let one process at a time choose a name and create its run folder."""
    with ExitStack() as stack:
        try:
            project.artifacts.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(project.artifacts / ".lock", "ab"))
        except OSError as error:
            if error.errno not in NO_RIGHT:
                raise
            raise ProjectError(
                f"{project.artifacts}: {error.strerror}. Runs and artifacts are stored in the project. "
                "Copy it to a folder that you may write to, or change its permissions."
            ) from error
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require_free_name(project: Project, request: RunRequest) -> None:
    """Raise ProjectError if another run made the artifact, or will make it.  Call inside `opening_lock`."""
    made_artifact(project, request)
    for folder in sorted(project.runs.glob(f"*-{request.name}-*")):
        if folder.name == request.id or not folder.is_dir():
            continue
        recorded = read_request(folder)
        if recorded.get("config", {}).get("name") != request.name:
            continue
        # runs of earlier versions do not name the kind, which a recipe determines
        same_kind = recorded.get("kind") == request.kind or (
            "kind" not in recorded and recorded.get("recipe") == request.recipe
        )
        if same_kind:
            _refuse_unfinished(folder, recorded, request)


def made_artifact(project: Project, request: RunRequest) -> Artifact | None:
    """The artifact that this run already made; raises ProjectError if another run made it."""
    folder = project.artifacts / request.kind / request.name
    if not folder.exists():
        return None
    artifact = load_artifact(folder)
    if artifact.manifest.run == request.id:
        return artifact
    maker = artifact.manifest.run or "another command"
    recorded: Mapping[str, Any] = {}
    if artifact.manifest.run:
        recorded = read_request(project.runs / artifact.manifest.run)
    if not recorded:
        inputs = {parent.role: {"digest": parent.digest} for parent in artifact.manifest.parents}
        recorded = {"config": artifact.manifest.config, "inputs": inputs}
    raise ProjectError(
        f"name = {request.name!r}: {request.kind}/{request.name} was made by {maker} with other settings or "
        f"inputs{_listed(differences(recorded, request))}. "
        f"{capitalised(f'{request.rename}remove {folder}.')}"
    )


def read_request(folder: Path) -> dict[str, Any]:
    """The stored configuration of a run; empty if it cannot be read."""
    try:
        contents = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return contents if isinstance(contents, dict) and isinstance(contents.get("config"), dict) else {}


def has_progress(folder: Path) -> bool:
    """Whether a run folder holds more than the beginning of a run."""
    for name in PROGRESS:
        path = folder / name
        if path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
            return True
        if path.is_file() and path.stat().st_size > 0:
            return True
    stages = [event.get("run") for event in _events(folder) if event.get("event") == STAGE]
    # the folder of a stage that failed before its first step is gone
    return any(isinstance(id, str) and (folder.parent / id).is_dir() for id in stages)


def differences(recorded: Mapping[str, Any], request: RunRequest) -> list[str]:
    """One phrase for each setting or input that differs: `optim.lr is 0.0001 there and 1e-05 here`."""
    phrases = []
    if "recipe" in recorded and recorded["recipe"] != request.recipe:
        phrases.append(f"the method is {recorded['recipe']} there and {request.recipe} here")
    there, here = _flat(recorded["config"]), _flat(request.config)
    for key in sorted({*there, *here}):
        if key in there and key in here and there[key] != here[key]:
            phrases.append(f"{key} is {_text(there[key])} there and {_text(here[key])} here")
        elif (key in there) != (key in here) and not phrases:
            phrases.append(f"{key} is set only {'there' if key in there else 'here'}")
    changed_keys = {phrase.partition(" ")[0] for phrase in phrases}
    for role, source in recorded.get("inputs", {}).items():
        digest = source.get("digest") if isinstance(source, Mapping) else None
        if role in request.inputs and digest != request.inputs[role] and role not in changed_keys:
            phrases.append(f"the content of {role} has changed since")
    return phrases


def _refuse_unfinished(folder: Path, recorded: Mapping[str, Any], request: RunRequest) -> None:
    label = f"{request.kind}/{request.name}"
    differing = _listed(differences(recorded, request))
    if is_locked(folder):
        raise ProjectError(
            f"name = {request.name!r}: the run {folder.name} is at work and will publish {label}"
            f"{differing}. {capitalised(f'{request.rename}stop that run and remove {folder}.')}"
        )
    if has_progress(folder) and not _has_ended(folder):
        raise ProjectError(
            f"name = {request.name!r}: the run {folder.name} is unfinished and will publish {label}"
            f"{differing}. Give its command again to finish it, {request.rename or 'or '}remove {folder}."
        )


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run."""
    try:
        with open(folder / ".lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _has_ended(folder: Path) -> bool:
    """Whether the run published its artifact, or failed without a checkpoint to resume from."""
    names = [str(event.get("event")) for event in _events(folder)]
    states = [name for name in names if name in ("opened", "finished", FAILED)]
    last = states[-1] if states else ""
    return last == "finished" or (last == FAILED and not any((folder / "checkpoints").glob("step-*")))


def _events(folder: Path) -> list[dict[str, Any]]:
    """The events so far; a killed process may have left half a line."""
    events = []
    path = folder / "events.jsonl"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _listed(phrases: list[str]) -> str:
    if not phrases:
        return ""
    shown = phrases[:MAX_DIFFERENCES]
    if num_more := len(phrases) - len(shown):
        shown.append("1 more differs" if num_more == 1 else f"{num_more} more differ")
    return f" ({'; '.join(shown)})"


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{leaf}": leaf_value for leaf, leaf_value in value.items()}
        else:
            flat[key] = value
    return flat


def _text(value: Any) -> str:
    return "empty" if value in ("", None) else json.dumps(value) if isinstance(value, list) else str(value)
