"""Runs as people watch them: what a run's folder says now.  Nothing is written, and no run notices.

A run is `running` while a process holds its lock (or, where the system does not tell, while its files have changed within two minutes),
`finished` when it has said so, and `stopped` otherwise: the same command goes on with it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fairlead.store.project import Project
from fairlead.studio import project_files
from fairlead.studio.project_files import number, table, text, whole

State = Literal["running", "finished", "stopped", "waiting"]

FRESH_S = 120.0
MOST_RUNS = 1000  # that are listed, the latest changed
MOST_EVENTS = 300  # that are shown of one run
MOST_METRICS = 60  # different ones of one run
REPORTS = {"report.html": "Report", "admission.html": "Admission report"}
TAIL = 64 << 10  # bytes that tell where a run stands


@dataclass(frozen=True)
class RunLine:
    """One run in a list."""

    id: str
    recipe: str
    name: str  # of what it makes
    state: State
    started_at: str | None
    changed_at: str
    step: int | None
    num_steps: int | None  # where its configuration says so
    made: str | None  # "kind/name"
    num_warnings: int  # in the last part of its events


@dataclass(frozen=True)
class RunDetail:
    line: RunLine
    config: dict[str, Any]
    inputs: list[tuple[str, str, str]]  # role, name, digest
    code: str
    rows: list[dict[str, Any]]  # of metrics; numbers only, by step
    events: list[dict[str, str]]  # at, event, details; the latest first
    reports: dict[str, str]  # file -> title
    remarks: list[str] = field(default_factory=list)  # what could not be read, or was left out


def list_runs(project: Project, most: int = MOST_RUNS) -> tuple[list[RunLine], int]:
    """The latest changed first, at most so many; and how many there are."""
    entries = list(project.runs.iterdir()) if project.runs.is_dir() else []
    found = [
        (_changed(entry), entry)
        for entry in entries
        if project_files.is_name(entry.name) and entry.is_dir() and not entry.is_symlink()
    ]
    held = _held()
    return [_line(folder, changed, held) for changed, folder in sorted(found, reverse=True)[:most]], len(
        found
    )


def read_run(project: Project, run_id: str) -> RunDetail:
    """Raises NotFound."""
    folder = project_files.folder_in(project.runs, run_id)
    asked = project_files.read_json(folder / "config.json")
    line = _line(folder, _changed(folder), _held())
    remarks = []
    if asked is None:
        remarks.append(
            "Its configuration cannot be read: config.json is missing, too large or no JSON object."
        )
        asked = {}
    rows, num_bad, cut = project_files.read_rows(folder / "metrics.jsonl")
    if cut:
        remarks.append("The file of metrics is very long; only its last part is drawn.")
    if num_bad:
        remarks.append(f"{num_bad:,} lines of metrics are no JSON objects and are left out.")
    events, _, _ = project_files.read_rows(folder / "events.jsonl", 1 << 20)
    numbers, num_left_out = _numbers(rows)
    if num_left_out:
        remarks.append(f"{num_left_out:,} further metrics are not drawn.")
    code = table(asked.get("code"))
    return RunDetail(
        line=line,
        config=table(asked.get("config")),
        inputs=[
            (text(role), text(one.get("name")), text(one.get("digest")))
            for role, one in table(asked.get("inputs")).items()
            if isinstance(one, dict)
        ],
        code=" ".join(text(code[key])[:12] for key in ("version", "commit") if code.get(key)),
        rows=numbers,
        events=[_event(event) for event in reversed(events[-MOST_EVENTS:])],
        reports={
            name: title
            for name, title in REPORTS.items()
            if (folder / name).is_file() and not (folder / name).is_symlink()
        },
        remarks=remarks,
    )


def read_report(project: Project, run_id: str, name: str) -> bytes | None:
    """An HTML page as it is: whoever serves it has to lock it up."""
    if name not in REPORTS:
        return None
    return project_files.read_start(
        project_files.folder_in(project.runs, run_id) / name, project_files.MOST_PAGE
    )


def mark(project: Project, run_id: str) -> str:
    """Changes when something of the run does: for a browser that asks whether there is news."""
    folder = project_files.folder_in(project.runs, run_id)
    about = [_about(folder / name) for name in ("metrics.jsonl", "events.jsonl", "config.json", *REPORTS)]
    sizes = ".".join(f"{one.st_size:x}-{one.st_mtime_ns:x}" if one else "0" for one in about)
    return f"{sizes}.{_line(folder, _changed(folder), _held()).state}"


def _line(folder: Path, changed: float, held: frozenset[tuple[int, int]] | None) -> RunLine:
    asked = project_files.read_json(folder / "config.json") or {}
    config = table(asked.get("config"))
    first = project_files.read_first_row(folder / "events.jsonl")
    events, _, _ = project_files.read_rows(folder / "events.jsonl", TAIL)
    rows, _, _ = project_files.read_rows(folder / "metrics.jsonl", TAIL)
    finished = next((event for event in reversed(events) if event.get("event") == "finished"), None)
    num_steps = config.get("steps")
    return RunLine(
        id=folder.name,
        recipe=text(asked.get("recipe")) or folder.name.split("-")[0],
        name=text(config.get("name")) or folder.name,
        state=_state(folder, changed, held, finished is not None, bool(asked)),
        started_at=text(first.get("at")) or None,
        changed_at=datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"),
        step=whole(rows[-1].get("step")) if rows else None,
        num_steps=whole(num_steps) or None,
        made=text(finished.get("artifact")) or None if finished else None,
        num_warnings=sum(event.get("event") == "warning" for event in events),
    )


def _state(
    folder: Path, changed: float, held: frozenset[tuple[int, int]] | None, finished: bool, began: bool
) -> State:
    lock = _about(folder / ".lock")
    if held is not None:
        running = (
            lock is not None and (os.major(lock.st_dev) << 20 | os.minor(lock.st_dev), lock.st_ino) in held
        )
    else:
        running = not finished and datetime.now(UTC).timestamp() - changed < FRESH_S
    if running and not finished:
        return "running"
    return "finished" if finished else "stopped" if began else "waiting"


def _held() -> frozenset[tuple[int, int]] | None:
    """Device and number of every file that somebody has locked.  Trying the lock instead would get in the way of a run that is starting."""
    found = set()
    try:
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if "FLOCK" in words and "->" not in words:  # an arrow marks one who waits
                major, minor, inode = words[5].split(":")
                found.add((int(major, 16) << 20 | int(minor, 16), int(inode)))
    except (OSError, ValueError, IndexError):
        return None
    return frozenset(found)


def _changed(folder: Path) -> float:
    about = [_about(folder / name) for name in ("metrics.jsonl", "events.jsonl", "config.json")] + [
        _about(folder)
    ]
    return max((one.st_mtime for one in about if one), default=0.0)


def _about(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _numbers(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Rows with a step, and of these the numbers; and how many metrics were left out because there are too many."""
    names: dict[str, None] = {"step": None}
    left_out: set[str] = set()
    kept = []
    for row in rows:
        finite = {name[:80]: found for name, value in row.items() if (found := number(value)) is not None}
        if "step" in finite:
            for name in finite:
                if len(names) <= MOST_METRICS:
                    names.setdefault(name)
            left_out.update(name for name in finite if name not in names)
            kept.append({name: value for name, value in finite.items() if name in names})
    return kept, len(left_out)


def _event(event: Mapping[str, Any]) -> dict[str, str]:
    said = {
        key: value
        for key, value in event.items()
        if key not in ("at", "event") and value not in (None, "", [], {})
    }
    details = ", ".join(f"{text(key)} {text(value)}" for key, value in said.items())
    return {
        "at": text(event.get("at")),
        "event": text(event.get("event")),
        "details": details[: 4 * project_files.LONGEST],
    }
