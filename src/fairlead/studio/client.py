"""The studio's API from Python.  Whatever a page does, a program with a token of the right scopes can do too.

    with Client("https://labels.example.org", token) as studio:
        studio.upload("helpful", Path("comparisons.jsonl"))
        task = studio.next_task("helpful")

What was sent and not answered is sent again only where that is safe: reading; asking for tasks, which gives those already held; adding
rows, which are known by their content; and judgements, whose key makes twice the same as once.  All else is sent again only when it cannot
have arrived.  A judgement that has to outlive the program needs a key of the caller's own.
"""

import json
import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from fairlead.core import files
from fairlead.core.errors import FairleadError

ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
SILENT_S = 45.0  # after which a stream that should say something every 15 seconds is opened again
BUSY = (429, 502, 503, 504)  # the studio, or what stands before it, asks to come again

T = TypeVar("T")


class Refused(FairleadError):
    """The studio understood and said no.  `status` is that of HTTP; `field` names the input at fault, where there is one."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.field = status, field


class Unreachable(FairleadError):
    """No answer, after several attempts."""


@dataclass(frozen=True)
class Campaign:
    slug: str
    name: str
    kind: str
    state: str
    overlap: int
    progress: dict[str, int]  # items, wanted, open, held, done


@dataclass(frozen=True)
class Task:
    """One item as this person sees it.  `answers` are in the order shown: the first one's letter is A."""

    token: str
    item: int
    kind: str
    prompt: list[dict[str, Any]]  # role, html, text, dir
    answers: list[dict[str, Any]]  # letter, html, text, dir
    options: dict[str, Any]
    expires_at: str


@dataclass(frozen=True)
class Kept:
    """A judgement that was acknowledged."""

    id: int
    late: bool
    made_at: str


@dataclass(frozen=True)
class Job:
    id: int
    kind: str
    state: str  # queued, running, done, failed, cancelled
    num_done: int
    num_all: int | None
    result: dict[str, Any] | None
    error: str | None


@dataclass(frozen=True)
class Snapshot:
    name: str
    digest: str
    counts: dict[str, Any]
    files: list[str]
    train: str  # the command that trains with it


@dataclass(frozen=True)
class Event:
    seq: int
    at: str
    verb: str
    actor: str
    campaign: str | None
    subject: str
    body: dict[str, Any]


class Client:
    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
            transport=transport,
        )
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # ---------------------------------------------------------------- for who leads

    def campaigns(self) -> list[Campaign]:
        """Those that you may watch, the newest first."""
        return [_made(Campaign, one) for one in self._get("/campaigns")["campaigns"]]

    def campaign(self, slug: str) -> Campaign:
        return _made(Campaign, self._get(_at(slug)))

    def create_campaign(self, name: str, kind: str, **settings: Any) -> Campaign:
        """A draft.  Settings: overlap, audience, pay_per_hour, currency, lease_s, aspects, chips, points, guidelines."""
        return _made(
            Campaign, self._send("POST", "/campaigns", json={"name": name, "kind": kind, **settings})
        )

    def set_state(self, slug: str, state: str) -> Campaign:
        """open, paused or closed."""
        return _made(Campaign, self._send("POST", f"{_at(slug)}/state", json={"state": state}))

    def upload(self, slug: str, path: Path, *, wait: bool = True, **origin: Any) -> Job:
        """Rows from a file in any format that `fairlead data import` reads.  `origin`: priority, pairs, model."""
        with open(path, "rb") as file:
            sent = self._send("POST", "/uploads", files={"file": (path.name, file)})
        job = _made(Job, self._send("POST", f"{_at(slug)}/imports", json={"upload": sent["id"], **origin}))
        return self.wait(slug, job) if wait else job

    def add_items(self, slug: str, items: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """At most 500, each {"prompt": messages, "answers": [{"messages": …, "source": …}], "tags": […]}: (added, there already)."""
        said = self._send("POST", f"{_at(slug)}/items", json={"items": list(items)}, again=True)
        return said["num_added"], said["num_duplicates"]

    def snapshot(self, slug: str, name: str, **filters: Any) -> Snapshot:
        """Freezes what stands, and waits until it is made.  Filters: ties, min_margin, by_item, raters, since and so on."""
        job = _made(
            Job, self._send("POST", f"{_at(slug)}/snapshots", json={"name": name, "filters": filters})
        )
        self.wait(slug, job)
        return _made(Snapshot, self._get(f"{_at(slug)}/snapshots/{quote(name, safe='')}"))

    def download(self, slug: str, name: str, file: str, to: Path) -> Path:
        """A file of a snapshot, whole or not at all."""
        path = f"{_at(slug)}/snapshots/{quote(name, safe='')}/files/{quote(file, safe='')}"

        def fetch() -> None:
            with self._http.stream("GET", path) as answer, files.atomic_file(to) as out:
                _check(answer)
                for part in answer.iter_bytes():
                    out.write(part)

        self._try(fetch, again=True)
        return to

    def wait(self, slug: str, job: Job, *, within_s: float = 3600.0) -> Job:
        """Until the job has ended.  Raises Refused when it failed, Unreachable when it takes too long."""
        end = time.monotonic() + within_s
        while job.state not in ("done", "failed", "cancelled"):
            if time.monotonic() > end:
                raise Unreachable(f"job {job.id} is still {job.state} after {within_s:.0f} s.")
            self._sleep(0.5)
            job = _made(Job, self._get(f"{_at(slug)}/jobs/{job.id}"))
        if job.state != "done":
            raise Refused(409, job.error or f"job {job.id} was {job.state}.")
        return job

    def progress(self, slug: str) -> dict[str, Any]:
        """The figures of the dashboard."""
        return self._get(f"{_at(slug)}/progress")

    # ---------------------------------------------------------------- for who labels

    def next_tasks(self, slug: str, count: int = 1) -> list[Task]:
        """What you hold already, oldest first, and as much more as makes `count`."""
        said = self._send("POST", f"{_at(slug)}/next", json={"count": count}, again=True)
        return [_made(Task, one) for one in said["assignments"]]

    def next_task(self, slug: str) -> Task | None:
        """None where nothing is left for you."""
        return next(iter(self.next_tasks(slug)), None)

    def submit(
        self,
        slug: str,
        task: Task | str,
        value: Mapping[str, Any],
        *,
        reasons: Sequence[str] = (),
        note: str = "",
        active_ms: int = 0,
        key: str | None = None,
    ) -> Kept:
        """A judgement, in letters as shown; for the same task again it replaces the last one.  See docs/reference/studio-api.md for values."""
        body = {"value": dict(value), "reasons": list(reasons), "note": note, "active_ms": active_ms}
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(18)}
        return _made(
            Kept, self._send("POST", f"{_task(slug, task)}/judgement", json=body, headers=headers, again=True)
        )

    def skip(self, slug: str, task: Task | str, reason: str, note: str = "") -> None:
        self._send("POST", f"{_task(slug, task)}/skip", json={"reason": reason, "note": note})

    def flag(self, slug: str, task: Task | str, reason: str, note: str = "") -> None:
        self._send("POST", f"{_task(slug, task)}/flag", json={"reason": reason, "note": note})

    def release(self, slug: str, task: Task | str) -> None:
        """Let go; the item is there for others again."""
        self._send("POST", f"{_task(slug, task)}/release", again=True)

    # ---------------------------------------------------------------- what happens

    def events(self, *, campaign: str | None = None, after: int | None = None) -> Generator[Event]:
        """Each event that you may see with a number above `after`, or from now on; without an end.  A line that is cut is opened again."""
        if after is None:
            after = int(self._get("/events/list")["last"])
        query = {} if campaign is None else {"campaign": campaign}
        failures = 0
        while True:
            try:
                timeout = httpx.Timeout(self._http.timeout.connect, read=SILENT_S)
                with self._http.stream(
                    "GET", "/events", params={**query, "after": after}, timeout=timeout
                ) as answer:
                    _check(answer)
                    for line in answer.iter_lines():
                        failures = 0
                        name, _, said = line.partition(": ")
                        if name == "data":
                            event = _made(Event, json.loads(said))
                            after = event.seq
                            yield event
                        elif name == "id":
                            after = max(
                                after, int(said) - 1
                            )  # the event of this number comes next, if at all
            except (httpx.TransportError, _Busy) as error:
                failures += 1
                if failures >= ATTEMPTS:
                    raise Unreachable(f"the studio's events cannot be read: {error}") from error
            self._sleep(_pause(failures))

    # ---------------------------------------------------------------- sending

    def _get(self, path: str) -> dict[str, Any]:
        return self._send("GET", path, again=True)

    def _send(self, method: str, path: str, *, again: bool = False, **content: Any) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            answer = self._http.request(method, path, **content)
            _check(answer)
            found: dict[str, Any] = answer.json() if answer.content else {}
            return found

        return self._try(ask, again=again)

    def _try(self, ask: Callable[[], T], *, again: bool) -> T:
        """`again`: it may be sent again although it may have arrived."""
        for attempt in range(1, ATTEMPTS + 1):
            wait = _pause(attempt)
            try:
                return ask()
            except (
                httpx.ConnectError,
                httpx.ConnectTimeout,
                httpx.PoolTimeout,
            ) as error:  # it was never sent
                last: Exception = error
            except httpx.TransportError as error:
                if not again:
                    raise Unreachable(
                        f"the studio did not answer, and it is not known whether it was done: {error}"
                    ) from error
                last = error
            except _Busy as error:
                if not again and error.status != 429:
                    raise Refused(error.status, "the studio is not there at the moment.") from error
                last, wait = error, max(wait, error.wait_s)
            if attempt < ATTEMPTS:
                self._sleep(wait)
        if isinstance(last, _Busy):
            raise Refused(last.status, "the studio is too busy, or not there at the moment.") from last
        raise Unreachable(f"the studio cannot be reached at {self._http.base_url}: {last}") from last


class _Busy(Exception):
    def __init__(self, status: int, wait_s: float) -> None:
        super().__init__(f"status {status}")
        self.status, self.wait_s = status, wait_s


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    if answer.status_code in BUSY:
        given = answer.headers.get("retry-after", "")
        raise _Busy(answer.status_code, min(60.0, float(given)) if given.isdigit() else 0.0)
    answer.read()
    try:
        error = answer.json()["error"]
        message, field = str(error["message"]), error.get("field")
    except (ValueError, KeyError, TypeError):
        message, field = f"{answer.status_code} {answer.reason_phrase}", None
    raise Refused(answer.status_code, message, field)


def _made(kind: type[T], said: Mapping[str, Any]) -> T:
    """What the studio says more than is known here is passed over, so that a newer studio can be spoken to."""
    return kind(**{field.name: said[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def _at(slug: str) -> str:
    return f"/campaigns/{quote(slug, safe='')}"


def _task(slug: str, task: Task | str) -> str:
    return f"{_at(slug)}/tasks/{quote(task if isinstance(task, str) else task.token, safe='')}"


def _pause(attempt: int) -> float:
    """Longer each time, and not the same for all who wait."""
    return float(
        min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (max(attempt, 1) - 1))
        * (0.75 + secrets.randbelow(500) / 1000)
    )
