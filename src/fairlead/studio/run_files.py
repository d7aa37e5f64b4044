"""Reads the state of runs from their folders.

Nothing is written, and running training jobs are not disturbed.

A run is `running` while a process holds its lock, `finished` when its events say so, `waiting` before it
has written its configuration, and `stopped` otherwise: the same command resumes it.  Where the system does
not list locks, a run counts as running for two minutes after its files changed.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fairlead.core.plural import agreeing, counted
from fairlead.store.project import Project
from fairlead.studio import project_files
from fairlead.studio.project_files import number, table, text, whole

RunState = Literal["running", "finished", "stopped", "waiting"]
HeldLocks: TypeAlias = frozenset[tuple[int, int]] | None  # (device, inode) of locked files; None: unknown

FRESH_S = 120.0
MAX_RUNS = 1000  # listed, the last changed first
MAX_EVENTS = 300  # shown of one run
MAX_METRICS = 60  # different metrics of one run
REPORTS = {"report.html": "Report", "admission.html": "Admission report"}
TAIL_BYTES = 64 << 10  # enough to tell the state of a run


@dataclass(frozen=True)
class RunLine:
    """One run in a list."""

    id: str
    recipe: str
    name: str  # of the artifact that the run makes
    state: RunState
    started_at: str | None
    changed_at: str
    step: int | None
    num_steps: int | None  # when the configuration has it
    artifact: str | None  # "kind/name" of the artifact that the run made
    num_warnings: int  # in the last part of the events


@dataclass(frozen=True)
class RunDetail:
    line: RunLine
    config: dict[str, Any]
    inputs: list[tuple[str, str, str]]  # role, name, digest
    code: str
    rows: list[dict[str, Any]]  # metrics by step; numbers only
    events: list[dict[str, str]]  # at, event, details; newest first
    reports: dict[str, str]  # file -> title
    remarks: list[str] = field(default_factory=list)  # what could not be read, or was left out


def list_runs(project: Project, limit: int = MAX_RUNS) -> tuple[list[RunLine], int]:
    """(the last changed runs, the number of all runs)."""
    entries = list(project.runs.iterdir()) if project.runs.is_dir() else []
    folders = [
        (_changed_at(entry), entry)
        for entry in entries
        if project_files.is_name(entry.name) and entry.is_dir() and not entry.is_symlink()
    ]
    locks = _held_locks()
    latest = sorted(folders, reverse=True)[:limit]
    return [_line(folder, changed_at, locks) for changed_at, folder in latest], len(folders)


def read_run(project: Project, run_id: str) -> RunDetail:
    """Raises NotFound."""
    folder = project_files.folder_in(project.runs, run_id)
    request = project_files.read_json(folder / "config.json")
    remarks = []
    if request is None:
        remarks.append(
            "The configuration cannot be read: config.json is missing, too large or not a JSON object."
        )
        request = {}
    rows, num_invalid, is_cut = project_files.read_rows(folder / "metrics.jsonl")
    if is_cut:
        remarks.append("The file of metrics is very long, so only its last part is shown.")
    if num_invalid:
        remarks.append(
            f"{counted(num_invalid, 'line')} of metrics {agreeing(num_invalid, 'is')} "
            f"no JSON and {agreeing(num_invalid, 'is')} left out."
        )
    events, _, _ = project_files.read_rows(folder / "events.jsonl", 1 << 20)
    metrics, num_left_out = _metrics(rows)
    if num_left_out:
        remarks.append(f"{counted(num_left_out, 'more metric')} {agreeing(num_left_out, 'is')} not shown.")
    code = table(request.get("code"))
    return RunDetail(
        line=_line(folder, _changed_at(folder), _held_locks()),
        config=table(request.get("config")),
        inputs=[
            (text(role), text(source.get("name")), text(source.get("digest")))
            for role, source in table(request.get("inputs")).items()
            if isinstance(source, dict)
        ],
        code=" ".join(text(code[key])[:12] for key in ("version", "commit") if code.get(key)),
        rows=metrics,
        events=[_event(event) for event in reversed(events[-MAX_EVENTS:])],
        reports={name: title for name, title in REPORTS.items() if _is_plain_file(folder / name)},
        remarks=remarks,
    )


def read_report(project: Project, run_id: str, name: str) -> bytes | None:
    """An HTML report, unchanged.  The caller must serve it in a sandbox."""
    if name not in REPORTS:
        return None
    folder = project_files.folder_in(project.runs, run_id)
    return project_files.read_start(folder / name, project_files.MAX_PAGE)


def version_tag(project: Project, run_id: str) -> str:
    """A text that changes whenever the run does, for HTTP caching."""
    folder = project_files.folder_in(project.runs, run_id)
    statuses = [_status(folder / name) for name in ("metrics.jsonl", "events.jsonl", "config.json", *REPORTS)]
    versions = ".".join(
        f"{status.st_size:x}-{status.st_mtime_ns:x}" if status else "0" for status in statuses
    )
    return f"{versions}.{_line(folder, _changed_at(folder), _held_locks()).state}"


def _line(folder: Path, changed_at: float, locks: HeldLocks) -> RunLine:
    request = project_files.read_json(folder / "config.json") or {}
    config = table(request.get("config"))
    first_event = project_files.read_first_row(folder / "events.jsonl")
    events, _, _ = project_files.read_rows(folder / "events.jsonl", TAIL_BYTES)
    rows, _, _ = project_files.read_rows(folder / "metrics.jsonl", TAIL_BYTES)
    finished = next((event for event in reversed(events) if event.get("event") == "finished"), None)
    return RunLine(
        id=folder.name,
        recipe=text(request.get("recipe")) or folder.name.split("-")[0],
        name=text(config.get("name")) or folder.name,
        state=_state(folder, changed_at, locks, is_finished=finished is not None, has_config=bool(request)),
        started_at=text(first_event.get("at")) or None,
        changed_at=datetime.fromtimestamp(changed_at, UTC).isoformat(timespec="seconds"),
        step=whole(rows[-1].get("step")) if rows else None,
        num_steps=whole(config.get("steps")) or None,
        artifact=text(finished.get("artifact")) or None if finished else None,
        num_warnings=sum(event.get("event") == "warning" for event in events),
    )


def _state(
    folder: Path, changed_at: float, locks: HeldLocks, *, is_finished: bool, has_config: bool
) -> RunState:
    if is_finished:
        return "finished"
    if locks is not None:
        lock = _status(folder / ".lock")
        is_running = (
            lock is not None and (_device(os.major(lock.st_dev), os.minor(lock.st_dev)), lock.st_ino) in locks
        )
    else:
        is_running = datetime.now(UTC).timestamp() - changed_at < FRESH_S
    if is_running:
        return "running"
    return "stopped" if has_config else "waiting"


def _held_locks() -> HeldLocks:
    """Every file that a process has locked.  Trying a lock instead would disturb a run that is starting."""
    locks = set()
    try:
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if "FLOCK" in fields and "->" not in fields:  # an arrow marks a process that waits for the lock
                major, minor, inode = fields[5].split(":")
                locks.add((_device(int(major, 16), int(minor, 16)), int(inode)))
    except (OSError, ValueError, IndexError):
        return None
    return frozenset(locks)


def _device(major: int, minor: int) -> int:
    return major << 20 | minor


def _changed_at(folder: Path) -> float:
    paths = [folder, *(folder / name for name in ("metrics.jsonl", "events.jsonl", "config.json"))]
    statuses = [_status(path) for path in paths]
    return max((status.st_mtime for status in statuses if status), default=0.0)


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _metrics(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Numbers of the rows that have a step.  Returns (rows, number of metrics left out beyond the limit)."""
    names: dict[str, None] = {"step": None}
    left_out: set[str] = set()
    metrics = []
    for row in rows:
        finite = {name[:80]: value for name, raw in row.items() if (value := number(raw)) is not None}
        if "step" in finite:
            for name in finite:
                if len(names) <= MAX_METRICS:
                    names.setdefault(name)
            left_out.update(name for name in finite if name not in names)
            metrics.append({name: value for name, value in finite.items() if name in names})
    return metrics, len(left_out)


def _event(event: Mapping[str, Any]) -> dict[str, str]:
    details = ", ".join(
        f"{text(key)} {text(value)}"
        for key, value in event.items()
        if key not in ("at", "event") and value not in (None, "", [], {})
    )
    return {
        "at": text(event.get("at")),
        "event": text(event.get("event")),
        "details": details[: 4 * project_files.LONGEST_TEXT],
    }
