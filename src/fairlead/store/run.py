"""Runs: one recipe with one configuration and inputs, in a folder that a repeated command finds again.

    runs/<id>/config.json      the resolved configuration, written once
              metrics.jsonl    one row per step, without times: a resumed run writes the same file
              events.jsonl     events with their times
              checkpoints/     checkpoints of the recipe, each complete or absent
              judge_replies.jsonl    replies of a judge behind an endpoint

A run stores configuration, metrics, events and checkpoints.  Recipes train, evaluate and decide when to save.
"""

import fcntl
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.core import config as configs
from fairlead.core import digest, files, jsonl
from fairlead.core.errors import ProjectError, Stopped
from fairlead.core.former_keys import flat
from fairlead.core.interrupt import StopRequest, stop_on_interrupt
from fairlead.core.plural import listed
from fairlead.core.spelling import KEYS, Spelling
from fairlead.store.artifact import (
    Artifact,
    Parent,
    Provenance,
    code_version,
    find_artifacts,
    publish_artifact,
)
from fairlead.store.metrics import append_metrics, drop_unfinished_line, read_metrics, rewind_metrics
from fairlead.store.name_conflicts import (
    FAILED,
    RunRequest,
    has_progress,
    made_artifact,
    opening_lock,
    require_free_name,
)
from fairlead.store.project import Project, check_name
from fairlead.store.resolve_inputs import ResolvedInput, resolve_input

STOPPING = "Stopping after this step. Press Ctrl-C again to stop at once."


@dataclass
class Run:
    id: str
    folder: Path
    project: Project
    recipe: str
    kind: str  # kind of the artifact that the run makes
    name: str
    config: dict[str, Any]  # resolved, with defaults
    seed: int
    inputs: dict[str, ResolvedInput]  # by configuration field
    stop: StopRequest
    quiet: bool
    finished: (
        Artifact | None
    )  # the artifact of the run; if set when the run is opened, there is nothing to do
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> rows that are not used, or not whole
    judges: dict[str, dict[str, str]] = field(default_factory=dict)  # role -> url and model of a judge
    spelling: Spelling = KEYS  # how the command of the run takes settings, for remedies

    @property
    def parents(self) -> tuple[Parent, ...]:
        return tuple(
            Parent(source.name, source.digest, field) for field, source in sorted(self.inputs.items())
        )

    def data_path(self, field: str, *, rows: str = "") -> Path:
        """The file of rows of an input.

        For an artifact, this is `ROWS.jsonl`, where ROWS defaults to the name of the field, or else its only
        .jsonl file.  Raises ProjectError if the artifact has no such file.
        """
        source = self.inputs[field]
        assert source.location is not None, f"{field} = {source.ref} is a model of the Hub, not data"
        if source.artifact is None:
            return source.location
        path = rows_file(source.artifact, rows or field)
        if path is not None:
            return path
        present = _row_files(source.artifact)
        if present:
            listed = (
                f"has {', '.join(present)}. Name one of these files: "
                f"{self.spelling.setting(field, source.location / present[0])}"
            )
        else:
            listed = "has no rows"
        raise ProjectError(
            f"{self.spelling.name(field)} = {source.ref!r}: {source.name} has no {rows or field}.jsonl; "
            f"it {listed}."
        )

    def model_path(self, field: str) -> str:
        """`ResolvedInput.load_from` of an input.  Inputs of a table have fields such as
        `constraints.harmless`.
        """
        return self.inputs[field].load_from

    def log(self, step: int, **values: float) -> None:
        """Append a row of metrics; raises NonFiniteStep if a value is not finite."""
        append_metrics(self.folder / "metrics.jsonl", step, values)

    def read_metrics(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder / "metrics.jsonl")

    def rewind(self, step: int) -> None:
        """Remove the metrics after `step`, the step of the checkpoint that will be loaded."""
        rewind_metrics(self.folder / "metrics.jsonl", step)

    def event(self, kind: str, **details: Any) -> None:
        """Append an event with its time.  The event is on disk when this returns."""
        jsonl.append(
            self.folder / "events.jsonl",
            {"at": datetime.now(UTC).isoformat(timespec="seconds"), "event": kind, **details},
        )

    def record_data(self, left_out: Mapping[str, int], **counts: int) -> None:
        """Append an event with the numbers of rows that are used, and store what is left out, by reason.

        `publish` writes `left_out` into the manifest's metrics.
        """
        present = {reason: number for reason, number in left_out.items() if number}
        self.left_out = dict(Counter(self.left_out) + Counter(present))
        self.event("data", **{"dropped": left_out.get("rows too long", 0), **counts, "left_out": present})

    def record_judge(self, role: str, *, url: str, model: str) -> None:
        """Append an event with the endpoint and the model of a judge; `publish` writes them into the
        manifest's metrics.
        """
        self.judges[role] = {"url": url, "model": model}
        self.event("judge", role=role, url=url, model=model)

    def warn(self, text: str) -> None:
        """Print a warning to the terminal and store it as an event."""
        self.event("warning", text=text)
        if not self.quiet:
            print(f"warning: {text}", file=sys.stderr, flush=True)

    def checkpoint_folder(self, step: int) -> Path:
        """Folder of the checkpoint of `step`.  Write it with `files.atomic_folder`."""
        return self.folder / "checkpoints" / f"step-{step:08d}"

    def latest_checkpoint(self) -> tuple[int, Path] | None:
        checkpoints = self._checkpoints()
        return checkpoints[-1] if checkpoints else None

    def prune_checkpoints(self, keep: int = 1) -> None:
        """Delete all but the latest `keep`."""
        checkpoints = self._checkpoints()
        for _, folder in checkpoints[: max(0, len(checkpoints) - keep)]:
            # Rename first: a process killed while deleting must not leave a partial checkpoint under its
            # final name.
            dead = folder.with_name(f".{folder.name}.part-{os.getpid()}")
            os.rename(folder, dead)
            shutil.rmtree(dead)

    def publish(
        self,
        fill: Callable[[Path], object],
        *,
        metrics: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Publish the artifact of this run, with its inputs as parents."""
        facts: dict[str, Any] = {"left_out": self.left_out, "judges": self.judges}
        recorded = {name: fact for name, fact in facts.items() if fact}
        self.finished = publish_artifact(
            self.project,
            self.kind,
            self.name,
            Provenance(
                parents=self.parents,
                config=self.config if config is None else config,
                seed=self.seed,
                metrics={**metrics, **recorded},
                run=self.id,
            ),
            fill=fill,
        )
        self.event("finished", artifact=self.finished.label, digest=self.finished.manifest.digest)
        return self.finished

    def _checkpoints(self) -> list[tuple[int, Path]]:
        folders = (self.folder / "checkpoints").glob("step-*")
        return sorted(
            (int(folder.name[5:]), folder) for folder in folders if re.fullmatch(r"step-\d+", folder.name)
        )


def rows_file(artifact: Artifact, rows: str) -> Path | None:
    """`ROWS.jsonl` of an artifact, or else its only .jsonl file, or None."""
    present = _row_files(artifact)
    expected = f"{rows}.jsonl"
    if expected in present:
        return artifact.folder / expected
    return artifact.folder / present[0] if len(present) == 1 else None


def _row_files(artifact: Artifact) -> list[str]:
    return [name for name in artifact.manifest.files if name.endswith(".jsonl")]


@contextmanager
def open_run(
    project: Project,
    recipe: str,
    config: Any,
    *,
    kind: str,
    quiet: bool = False,
    spelling: Spelling = KEYS,
    check: Callable[[Mapping[str, ResolvedInput]], None] | None = None,
) -> Iterator[Run]:
    """Open the run of this recipe, configuration and inputs, locked for this process.

    The same command opens the same run again.  A run without a checkpoint starts with empty metrics.  Ctrl-C
    sets `run.stop` while the run is open.  A run that ends before its first step leaves no folder.
    `spelling` is how the command takes settings.  `check` may refuse the inputs of a run that has not
    finished, before it opens.
    """
    name = check_name(config.name)
    resolved = configs.resolved(config)
    inputs = {
        field: resolve_input(project, field, mark, ref, spelling)
        for field, (mark, ref) in configs.refs(config).items()
    }
    digests = {role: source.digest for role, source in inputs.items()}
    id = run_id(recipe, config, digests)
    request = RunRequest(id, recipe, kind, name, resolved, digests, spelling)
    folder = project.runs / id
    if check is not None and made_artifact(project, request) is None:
        check(inputs)
    with _claimed_folder(project, request, inputs), stop_on_interrupt("" if quiet else STOPPING) as stop:
        finished = made_artifact(project, request)
        run = Run(
            id,
            folder,
            project,
            recipe,
            kind,
            name,
            resolved,
            config.seed,
            inputs,
            stop,
            quiet,
            finished,
            spelling=spelling,
        )
        _remove_unfinished(run)
        if finished is None:
            latest = run.latest_checkpoint()
            run.event("opened", checkpoint=latest[0] if latest else None, **code_version())
        try:
            yield run
        except BaseException as error:
            if run.finished is None and not has_progress(folder):
                shutil.rmtree(folder)
            elif run.finished is None and not isinstance(error, (Stopped, KeyboardInterrupt)):
                with suppress(OSError):  # on a full disk the error itself is what matters
                    run.event(FAILED, error=f"{type(error).__name__}: {error}")
            raise


@contextmanager
def _claimed_folder(
    project: Project, request: RunRequest, inputs: Mapping[str, ResolvedInput]
) -> Iterator[None]:
    """Claim the name of the artifact, and hold the folder of the run with its configuration."""
    folder = project.runs / request.id
    with ExitStack() as held:
        with opening_lock(project):
            require_free_name(project, request)
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(_run_lock(folder))
            if not (folder / "config.json").exists():
                _write_request(folder, request, inputs)
        yield


def _write_request(folder: Path, request: RunRequest, inputs: Mapping[str, ResolvedInput]) -> None:
    recorded = {
        field: {"ref": source.ref, "name": source.name, "digest": source.digest}
        for field, source in inputs.items()
    }
    contents = {
        "recipe": request.recipe,
        "kind": request.kind,
        "config": request.config,
        "inputs": recorded,
        "code": code_version(),
    }
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files.write_text(folder / "config.json", text)


def run_id(recipe: str, config: Any, input_digests: Mapping[str, str]) -> str:
    """The recipe, the name, and a digest of all settings and inputs: equal commands have equal ids.

    The digest is taken over the flat key names that configurations had before they had tables, so that
    finished runs of older projects are found again.
    """
    settings = configs.by_full_key(type(config), configs.resolved(config))
    identity = {
        "recipe": recipe,
        "config": flat(recipe, settings, configs.defaults(type(config))),
        "inputs": dict(input_digests),
    }
    return f"{recipe}-{config.name}-{digest.short(digest.of_json(identity))}"


def find_run(project: Project, ref: str) -> Path:
    """Find the folder of a run by its id, its path, the name of its artifact, or the start of its id."""
    ids = (
        sorted(folder.name for folder in project.runs.iterdir() if folder.is_dir())
        if project.runs.is_dir()
        else []
    )
    if "/" in ref and Path(ref).resolve().parent == project.runs.resolve():
        ref = Path(ref).name
    makers = {artifact.manifest.run for artifact in find_artifacts(project, ref) if artifact.manifest.run}
    candidates = (
        [id for id in ids if id == ref]
        or [id for id in ids if id in makers]
        or [id for id in ids if ref and id.startswith(ref)]
    )
    if len(candidates) > 1:
        raise ProjectError(
            f"{ref!r} is ambiguous: it matches the runs {listed(candidates)}. Write more of the id."
        )
    if not candidates and makers:
        raise ProjectError(
            f"{ref!r}: the run {sorted(makers)[0]} made this artifact, but its folder is missing from "
            f"{project.runs}. Restore it; `fairlead lineage show {ref}` reads the artifact alone."
        )
    if not candidates:
        existing = f"The project has: {listed(ids)}." if ids else "The project has no runs yet."
        raise ProjectError(
            f"{ref!r}: no run has this id, and no run made an artifact of this name. {existing}"
        )
    return project.runs / candidates[0]


def _remove_unfinished(run: Run) -> None:
    """Remove files that a killed process left unfinished."""
    files.remove_leftovers(run.folder)
    files.remove_leftovers(run.folder / "checkpoints")
    drop_unfinished_line(run.folder / "events.jsonl")
    if run.finished is None and run.latest_checkpoint() is None:
        (run.folder / "metrics.jsonl").unlink(missing_ok=True)  # the run starts over


@contextmanager
def _run_lock(folder: Path) -> Iterator[None]:
    """Prevent two processes from writing to one run.  The kernel releases the lock when the process ends."""
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ProjectError(
                f"{folder}: another process is using this run. Wait for it to end, or stop it."
            ) from error
        yield
