"""A Python client of the studio's HTTP API.  With a token of the right scopes, it can do whatever a page can.

    with Client("https://labels.example.org", token) as studio:
        studio.upload("helpful", Path("comparisons.jsonl"))
        task = studio.next_task("helpful")

A request without a response is repeated only when that is safe: reads; leasing, which returns the leases
already held; adding rows, which are identified by their content; and judgements, which have an idempotency
key. Other requests are repeated only when they cannot have arrived. To retry a judgement after the program
has ended, pass your own key.
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
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
SILENT_S = 45.0  # a stream sends something every 15 s; after this silence it is opened again
BUSY = (429, 502, 503, 504)  # the studio, or its proxy, asks to retry later

T = TypeVar("T")


class Refused(FairleadError):
    """The studio refused the request.

    `status` is the HTTP status; `field` names the invalid input, if there is one.
    """

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class Unreachable(FairleadError):
    """The studio did not respond after several attempts."""


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
    """One item as this rater sees it.  `answers` are in the order shown; the first has the letter A."""

    token: str
    item: int
    kind: str
    prompt: list[dict[str, Any]]  # role, html, text, dir
    answers: list[dict[str, Any]]  # letter, html, text, dir
    options: dict[str, Any]
    expires_at: str


@dataclass(frozen=True)
class StoredJudgement:
    """The studio's confirmation of a judgement."""

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

    # ---------------------------------------------------------------- for leads

    def campaigns(self) -> list[Campaign]:
        """The campaigns that you may watch, newest first."""
        return [_parse(Campaign, row) for row in self._get("/campaigns")["campaigns"]]

    def campaign(self, slug: str) -> Campaign:
        return _parse(Campaign, self._get(_campaign_path(slug)))

    def create_campaign(self, name: str, kind: str, **settings: Any) -> Campaign:
        """Create a draft campaign.

        Settings: overlap, audience, pay_per_hour, currency, lease_s, aspects, chips, points, guidelines.
        """
        return _parse(
            Campaign, self._send("POST", "/campaigns", json={"name": name, "kind": kind, **settings})
        )

    def set_state(self, slug: str, state: str) -> Campaign:
        """open, paused or closed."""
        return _parse(Campaign, self._send("POST", f"{_campaign_path(slug)}/state", json={"state": state}))

    def upload(self, slug: str, path: Path, *, wait: bool = True, **origin: Any) -> Job:
        """Import rows from a file in any format that `fairlead data import` reads.

        `origin`: priority, pairs, model.
        """
        with open(path, "rb") as file:
            uploaded = self._send("POST", "/uploads", files={"file": (path.name, file)})
        job = _parse(
            Job,
            self._send("POST", f"{_campaign_path(slug)}/imports", json={"upload": uploaded["id"], **origin}),
        )
        return self.wait(slug, job) if wait else job

    def add_items(self, slug: str, items: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Add at most 500 items.  Returns (number added, number of duplicates).

        An item is {"prompt": messages, "answers": [{"messages": …, "source": …}], "tags": […]}.
        """
        added = self._send("POST", f"{_campaign_path(slug)}/items", json={"items": list(items)}, again=True)
        return added["num_added"], added["num_duplicates"]

    def snapshot(self, slug: str, name: str, **filters: Any) -> Snapshot:
        """Create a snapshot of the current judgements and wait for it.

        Filters: ties, min_margin, by_item, equal_items, guidelines, raters, without_raters, since, until,
        late, quick.
        """
        job = _parse(
            Job,
            self._send("POST", f"{_campaign_path(slug)}/snapshots", json={"name": name, "filters": filters}),
        )
        self.wait(slug, job)
        return _parse(Snapshot, self._get(f"{_campaign_path(slug)}/snapshots/{quote(name, safe='')}"))

    def download(self, slug: str, name: str, file: str, to: Path) -> Path:
        """Download a file of a snapshot.  `to` is written completely or not at all."""
        path = f"{_campaign_path(slug)}/snapshots/{quote(name, safe='')}/files/{quote(file, safe='')}"
        self._download(path, to)
        return to

    def export(self, slug: str, to: Path) -> Path:
        """Download every judgement, skip and flag; the name of `to` ends in .jsonl, .csv or .parquet."""
        format = to.suffix.removeprefix(".")
        self._download(f"{_campaign_path(slug)}/export?format={quote(format, safe='')}", to)
        return to

    def wait(self, slug: str, job: Job, *, within_s: float = 3600.0) -> Job:
        """Wait until the job is done.

        Raises Refused when it fails, and Unreachable when it takes too long.
        """
        end = time.monotonic() + within_s
        while job.state not in ("done", "failed", "cancelled"):
            if time.monotonic() > end:
                raise Unreachable(f"job {job.id} is still {job.state} after {within_s:.0f} s.")
            self._sleep(0.5)
            job = _parse(Job, self._get(f"{_campaign_path(slug)}/jobs/{job.id}"))
        if job.state != "done":
            raise Refused(409, job.error or f"job {job.id} was {job.state}.")
        return job

    def progress(self, slug: str) -> dict[str, Any]:
        """The figures of the dashboard."""
        return self._get(f"{_campaign_path(slug)}/progress")

    # ---------------------------------------------------------------- for labellers

    def next_tasks(self, slug: str, count: int = 1) -> list[Task]:
        """Lease items until you hold `count`.  Items that you hold already come first, oldest first."""
        leased = self._send("POST", f"{_campaign_path(slug)}/next", json={"count": count}, again=True)
        return [_parse(Task, row) for row in leased["assignments"]]

    def next_task(self, slug: str) -> Task | None:
        """None when no items are left for you."""
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
    ) -> StoredJudgement:
        """Submit a judgement.

        `value` refers to answers by letter; a second judgement replaces the first.  See
        docs/reference/studio-api.md for values.
        """
        body = {"value": dict(value), "reasons": list(reasons), "note": note, "active_ms": active_ms}
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(18)}
        return _parse(
            StoredJudgement,
            self._send("POST", f"{_task_path(slug, task)}/judgement", json=body, headers=headers, again=True),
        )

    def skip(self, slug: str, task: Task | str, reason: str, note: str = "") -> None:
        self._send("POST", f"{_task_path(slug, task)}/skip", json={"reason": reason, "note": note})

    def flag(self, slug: str, task: Task | str, reason: str, note: str = "") -> None:
        self._send("POST", f"{_task_path(slug, task)}/flag", json={"reason": reason, "note": note})

    def release(self, slug: str, task: Task | str) -> None:
        """Give the item back, so that others can get it."""
        self._send("POST", f"{_task_path(slug, task)}/release", again=True)

    # ---------------------------------------------------------------- events

    def events(self, *, campaign: str | None = None, after: int | None = None) -> Generator[Event]:
        """Yield each visible event with a number above `after`, or from now on, without end.

        A broken connection is opened again.
        """
        if after is None:
            after = int(self._get("/events/list")["last"])
        query = {} if campaign is None else {"campaign": campaign}
        num_failures = 0
        while True:
            try:
                timeout = httpx.Timeout(self._http.timeout.connect, read=SILENT_S)
                with self._http.stream(
                    "GET", "/events", params={**query, "after": after}, timeout=timeout
                ) as response:
                    _check(response)
                    for line in response.iter_lines():
                        num_failures = 0
                        name, _, content = line.partition(": ")
                        if name == "data":
                            event = _parse(Event, json.loads(content))
                            after = event.seq
                            yield event
                        elif name == "id":
                            after = max(
                                after, int(content) - 1
                            )  # the event with this number may still follow
            except (httpx.TransportError, _Busy) as error:
                num_failures += 1
                if num_failures >= ATTEMPTS:
                    raise Unreachable(f"the studio's events cannot be read: {error}") from error
            self._sleep(_pause(num_failures))

    # ---------------------------------------------------------------- requests

    def _download(self, path: str, to: Path) -> None:
        def fetch() -> None:
            with self._http.stream("GET", path) as response, files.atomic_file(to) as file_out:
                _check(response)
                for chunk in response.iter_bytes():
                    file_out.write(chunk)

        self._try(fetch, again=True)

    def _get(self, path: str) -> dict[str, Any]:
        return self._send("GET", path, again=True)

    def _send(self, method: str, path: str, *, again: bool = False, **content: Any) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            response = self._http.request(method, path, **content)
            _check(response)
            body: dict[str, Any] = response.json() if response.content else {}
            return body

        return self._try(ask, again=again)

    def _try(self, ask: Callable[[], T], *, again: bool) -> T:
        """Repeat a request until it succeeds.  `again`: repeat it even if it may have arrived."""
        for attempt in range(1, ATTEMPTS + 1):
            wait = _pause(attempt)
            try:
                return ask()
            except (
                httpx.ConnectError,
                httpx.ConnectTimeout,
                httpx.PoolTimeout,
            ) as error:  # the request was not sent
                last: Exception = error
            except httpx.TransportError as error:
                if not again:
                    raise Unreachable(
                        f"the studio did not respond, so it is not known whether it has acted: {error}"
                    ) from error
                last = error
            except _Busy as error:
                if not again and error.status != 429:
                    raise Refused(error.status, "the studio is not available at the moment.") from error
                last, wait = error, max(wait, error.wait_s)
            if attempt < ATTEMPTS:
                self._sleep(wait)
        if isinstance(last, _Busy):
            raise Refused(last.status, "the studio is too busy, or not available at the moment.") from last
        raise Unreachable(f"the studio cannot be reached at {self._http.base_url}: {last}") from last


class _Busy(Exception):
    def __init__(self, status: int, wait_s: float) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.wait_s = wait_s


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    if response.status_code in BUSY:
        retry_after = response.headers.get("retry-after", "")
        raise _Busy(response.status_code, min(60.0, float(retry_after)) if retry_after.isdigit() else 0.0)
    response.read()
    try:
        error = response.json()["error"]
        message, field = str(error["message"]), error.get("field")
    except (ValueError, KeyError, TypeError):
        message, field = f"{response.status_code} {response.reason_phrase}", None
    raise Refused(response.status_code, message, field)


def _parse(kind: type[T], row: Mapping[str, Any]) -> T:
    """Unknown fields are ignored, so the client works with newer versions of the studio."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def _campaign_path(slug: str) -> str:
    return f"/campaigns/{quote(slug, safe='')}"


def _task_path(slug: str, task: Task | str) -> str:
    return f"{_campaign_path(slug)}/tasks/{quote(task if isinstance(task, str) else task.token, safe='')}"


def _pause(attempt: int) -> float:
    """Exponential backoff with jitter."""
    return float(
        min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (max(attempt, 1) - 1))
        * (0.75 + secrets.randbelow(500) / 1000)
    )
