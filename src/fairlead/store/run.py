"""A run: one recipe with one configuration on given inputs, in a folder of its own that a repeated command finds again.

    runs/<id>/config.json      what was asked, resolved; written once
              metrics.jsonl    one row per step, no times, so equal for a resumed and an uninterrupted run
              events.jsonl     what happened when
              checkpoints/     what the recipe puts there; each one is complete or absent

A run does not train, evaluate or decide when to save: it keeps the books.
"""

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.core import config as configs
from fairlead.core import digest, files, jsonl
from fairlead.core.errors import ProjectError
from fairlead.core.former_keys import flat
from fairlead.core.interrupt import StopRequest, stop_on_interrupt
from fairlead.store.artifact import (
    Artifact,
    Parent,
    code_version,
    find_artifacts,
    load_artifact,
    publish_artifact,
)
from fairlead.store.metrics import append_metrics, drop_unfinished_line, read_metrics, rewind_metrics
from fairlead.store.project import Project, check_name
from fairlead.store.resolve_inputs import RULE, ResolvedInput, resolve_input


@dataclass
class Run:
    id: str
    folder: Path
    project: Project
    recipe: str
    kind: str  # of the artifact that it makes
    name: str
    config: dict[str, Any]  # resolved: defaults included
    seed: int
    inputs: dict[str, ResolvedInput]  # by field
    stop: StopRequest
    quiet: bool
    finished: Artifact | None  # what it made; when set on opening there is nothing left to do

    @property
    def parents(self) -> tuple[Parent, ...]:
        return tuple(Parent(found.name, found.digest, field) for field, found in sorted(self.inputs.items()))

    def data_path(self, field: str, *, rows: str = "") -> Path:
        """The file of rows, or the path that was given.

        Of an artifact it is the only .jsonl; of several, the one that is named as the field is, or as `rows` says.  An artifact that has
        no such file is a ProjectError that lists what it has.
        """
        found = self.inputs[field]
        assert found.location is not None, f"{field} = {found.ref} is a model of the Hub, not data"
        if found.artifact is None:
            return found.location
        present = [name for name in found.artifact.manifest.files if name.endswith(".jsonl")]
        wanted = f"{rows or field}.jsonl"
        if wanted in present or len(present) == 1:
            return found.location / (wanted if wanted in present else present[0])
        listed = (
            f"has {', '.join(present)}. Name the one that is meant: {field}={found.location / present[0]}"
            if present
            else "has no rows"
        )
        raise ProjectError(f"{field} = {found.ref!r}: {found.name} has no {wanted} to read; it {listed}.")

    def model_path(self, field: str) -> str:
        """What a model is loaded from: a folder or a name of the Hub; `rule:` with the path of a file or the name of a module.

        In a table of inputs each has a field of its own: `constraints.harmless`.
        """
        found = self.inputs[field]
        rule = RULE if found.ref.startswith(RULE) else ""
        return found.ref if found.location is None else f"{rule}{found.location}"

    def log(self, step: int, **values: float) -> None:
        """One row of metrics; raises NonFiniteStep at a value that is no number."""
        append_metrics(self.folder / "metrics.jsonl", step, values)

    def read_metrics(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder / "metrics.jsonl")

    def rewind(self, step: int) -> None:
        """Forget the metrics after `step`, that of the checkpoint about to be loaded."""
        rewind_metrics(self.folder / "metrics.jsonl", step)

    def event(self, kind: str, **details: Any) -> None:
        """Something to remember with its time; on the disk when this returns."""
        jsonl.append(
            self.folder / "events.jsonl",
            {"at": datetime.now(UTC).isoformat(timespec="seconds"), "event": kind, **details},
        )

    def warn(self, text: str) -> None:
        """Something that the user should know and that stops nothing: said once on the terminal, and remembered."""
        self.event("warning", text=text)
        if not self.quiet:
            print(f"warning: {text}", file=sys.stderr, flush=True)

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of `step` lies or is to be written, with `files.atomic_folder`."""
        return self.folder / "checkpoints" / f"step-{step:08d}"

    def latest_checkpoint(self) -> tuple[int, Path] | None:
        found = self._checkpoints()
        return found[-1] if found else None

    def prune_checkpoints(self, keep: int = 1) -> None:
        """Delete all but the latest `keep`."""
        found = self._checkpoints()
        for _, folder in found[: max(0, len(found) - keep)]:
            # Renamed first: a process killed while deleting must not leave half a checkpoint under a whole one's name.
            dead = folder.with_name(f".{folder.name}.part-{os.getpid()}")
            os.rename(folder, dead)
            shutil.rmtree(dead)

    def publish(
        self,
        fill: Callable[[Path], None],
        *,
        metrics: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Make the artifact that this run is for, with its inputs as parents."""
        self.finished = publish_artifact(
            self.project,
            self.kind,
            self.name,
            fill=fill,
            parents=self.parents,
            config=self.config if config is None else config,
            seed=self.seed,
            metrics=metrics,
            run=self.id,
        )
        self.event("finished", artifact=self.finished.label, digest=self.finished.manifest.digest)
        return self.finished

    def _checkpoints(self) -> list[tuple[int, Path]]:
        folders = (self.folder / "checkpoints").glob("step-*")
        return sorted(
            (int(folder.name[5:]), folder) for folder in folders if re.fullmatch(r"step-\d+", folder.name)
        )


@contextmanager
def open_run(project: Project, recipe: str, config: Any, *, kind: str, quiet: bool = False) -> Iterator[Run]:
    """The run of this recipe, configuration and inputs, for this process alone; Ctrl-C sets `run.stop` while it is open.

    The same command finds the same run: from its latest checkpoint, or from the start with empty metrics when there is none.
    """
    name = check_name(config.name)
    resolved = configs.resolved(config)
    inputs = {
        field: resolve_input(project, field, mark, ref) for field, (mark, ref) in configs.refs(config).items()
    }
    id = run_id(recipe, config, {role: source.digest for role, source in inputs.items()})
    folder = project.runs / id
    _made_before(project, kind, name, id)  # before a folder is made for a run that may not be
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), stop_on_interrupt() as stop:
        finished = _made_before(project, kind, name, id)
        run = Run(
            id, folder, project, recipe, kind, name, resolved, config.seed, inputs, stop, quiet, finished
        )
        _clear_up(run)
        if not (folder / "config.json").exists():
            named = {
                field: {"ref": one.ref, "name": one.name, "digest": one.digest}
                for field, one in inputs.items()
            }
            written = {"recipe": recipe, "config": resolved, "inputs": named, "code": code_version()}
            files.write_text(
                folder / "config.json",
                json.dumps(written, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            )
        if finished is None:
            latest = run.latest_checkpoint()
            run.event("opened", checkpoint=latest[0] if latest else None, **code_version())
        yield run


def run_id(recipe: str, config: Any, input_digests: Mapping[str, str]) -> str:
    """The recipe, the name, and a digest of all settings and inputs: equal commands have equal ids.

    The digest is taken over the flat key names that configurations had before they had tables, so that finished
    runs of older projects are found again.
    """
    settings = configs.by_full_key(type(config), configs.resolved(config))
    identity = {
        "recipe": recipe,
        "config": flat(recipe, settings, configs.defaults(type(config))),
        "inputs": dict(input_digests),
    }
    return f"{recipe}-{config.name}-{digest.short(digest.of_json(identity))}"


def find_run(project: Project, ref: str) -> Path:
    """The folder of the run that `ref` means: its id, the name of what it made, or the beginning of its id."""
    ids = (
        sorted(folder.name for folder in project.runs.iterdir() if folder.is_dir())
        if project.runs.is_dir()
        else []
    )
    made = {artifact.manifest.run for artifact in find_artifacts(project, ref)}
    candidates = (
        [id for id in ids if id == ref]
        or [id for id in ids if id in made]
        or [id for id in ids if ref and id.startswith(ref)]
    )
    if len(candidates) > 1:
        raise ProjectError(
            f"{ref!r} is ambiguous: it could be the run {', '.join(candidates)}. Write more of the id."
        )
    if not candidates:
        known = f"The project has: {', '.join(ids)}." if ids else "The project has no run yet."
        raise ProjectError(
            f"{ref!r}: no run has this id, and no artifact of this name was made by a run. {known}"
        )
    return project.runs / candidates[0]


def _made_before(project: Project, kind: str, name: str, id: str) -> Artifact | None:
    """What this very run made; raises ProjectError when the name belongs to something else."""
    folder = project.artifacts / kind / name
    if not folder.exists():
        return None
    artifact = load_artifact(folder)
    if artifact.manifest.run != id:
        maker = artifact.manifest.run or "another command"
        raise ProjectError(
            f"name = {name!r}: {kind}/{name} exists and was made by {maker}, with other settings or inputs. "
            f"Choose another name=, or remove {folder}."
        )
    return artifact


def _clear_up(run: Run) -> None:
    """Remove what a killed process left unfinished."""
    files.remove_leftovers(run.folder)
    files.remove_leftovers(run.folder / "checkpoints")
    drop_unfinished_line(run.folder / "events.jsonl")
    if run.finished is None and run.latest_checkpoint() is None:
        (run.folder / "metrics.jsonl").unlink(missing_ok=True)  # all of it will be made again


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes in one run would spoil each other's files; the lock goes with the process, however it ends."""
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ProjectError(
                f"{folder}: another process is working on this run. Wait for it to end, or stop it."
            ) from error
        yield
