"""Who answers in a live chat: an OpenAI-compatible endpoint, or a model of the project in a process of its own.

    endpoint:NAME/MODEL   [studio.endpoints.NAME] of fairlead.toml has its `url`, up to and with /v1; the key, where it wants one, is in
                          the environment variable FAIRLEAD_KEY_NAME and nowhere else: not in the database, not in a log, not in a message
    model:ARTIFACT        a model artifact; `fairlead answer` runs it, so that torch is loaded there and never in the studio

Only who can write fairlead.toml says which addresses are asked: a campaign's lead chooses among them.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from anyio import to_thread

from fairlead.core.errors import FairleadError
from fairlead.data.records import Messages
from fairlead.labels.errors import Invalid, StudioError
from fairlead.store.artifact import load_artifacts
from fairlead.store.project import PROJECT_FILE, load_project, read_settings
from fairlead.studio import artifact_views

KEY = "FAIRLEAD_KEY_"  # and the endpoint's name in capital letters
TIMEOUT = httpx.Timeout(connect=10, read=60, write=10, pool=10)  # seconds; `read` is between two pieces
LONGEST_S = 300.0  # for a whole answer
LONGEST_ANSWER = 100_000  # characters
IDLE_S = 600.0  # after which a model's process goes
LINE = 16 * 1024 * 1024  # bytes of one line of a model's process

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class AnswerError(StudioError):
    """An answer could not be had.  The message is for leads; it names the model, and never the key."""


@dataclass(frozen=True)
class Endpoint:
    name: str
    url: str  # up to and with /v1
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Piece:
    """A part of an answer; the last one says how it ended."""

    text: str
    finished: bool | None = None  # False: cut off


def endpoints(project: Path | None) -> dict[str, Endpoint]:
    """Those of the project's fairlead.toml, by name; raises StudioError for one that is wrong."""
    if project is None:
        return {}
    path, studio = project / PROJECT_FILE, read_settings(project).get("studio", {})
    table = studio.get("endpoints", {}) if isinstance(studio, dict) else {}
    found = {}
    for name, given in table.items() if isinstance(table, dict) else ():
        url = given.get("url") if isinstance(given, dict) else None
        if (
            not _NAME.fullmatch(name)
            or not isinstance(url, str)
            or urlsplit(url).scheme not in ("http", "https")
            or "@" in urlsplit(url).netloc
        ):
            raise StudioError(
                f"{path}: [studio.endpoints.{name}] needs a name of small letters and digits, and a url like http://127.0.0.1:8000/v1. "
                f"A key goes into the environment variable {KEY}NAME."
            )
        found[name] = Endpoint(name, url.rstrip("/"), os.environ.get(key_name(name)))
    return found


def key_name(name: str) -> str:
    """The environment variable that holds the key of an endpoint."""
    return KEY + name.upper().replace("-", "_")


def check_source(project: Path | None, source: str) -> None:
    """Raises Invalid where nobody would answer."""
    kind, _, name = source.partition(":")
    if kind == "endpoint":
        endpoint, _, model = name.partition("/")
        known = endpoints(project)
        if endpoint not in known or not model.strip() or not model.isprintable() or len(source) > 200:
            listed = ", ".join(sorted(known)) or "none"
            raise Invalid({"source": f"is endpoint:NAME/MODEL; fairlead.toml has these endpoints: {listed}"})
    elif kind == "model":
        _model_folder(project, name)
    else:
        raise Invalid({"source": "begins with endpoint: or model:"})


def available(project: Path | None) -> tuple[list[str], list[str]]:
    """Names of endpoints, and of the project's model artifacts."""
    if project is None:
        return [], []
    present, _ = load_artifacts(load_project(project))
    return sorted(endpoints(project)), sorted(
        one.manifest.name for one in present if one.manifest.kind == "model"
    )


class Answerers:
    """Asks them; holds the connections and the processes.  One for each app, used on its event loop."""

    def __init__(
        self, project: Path | None, *, timeout: httpx.Timeout = TIMEOUT, longest_s: float = LONGEST_S
    ) -> None:
        self._project, self._timeout, self._longest_s = project, timeout, longest_s
        self._processes: dict[str, ModelProcess] = {}

    async def answer(
        self, source: str, messages: Messages, params: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        """Piece by piece; the last has `finished`.  Raises AnswerError."""
        said = [asdict(message) for message in messages]
        kind, _, name = source.partition(":")
        pieces = self._endpoint(name, said, params) if kind == "endpoint" else self._model(name, said, params)
        length = 0
        try:
            async with asyncio.timeout(self._longest_s), aclosing(pieces):
                async for piece in pieces:
                    length += len(piece.text)
                    if length > LONGEST_ANSWER:
                        yield Piece(piece.text[: LONGEST_ANSWER - length], finished=False)
                        return
                    yield piece
                    if piece.finished is not None:
                        return
        except TimeoutError:
            raise AnswerError(f"{source} took longer than {self._longest_s:.0f} s.") from None
        raise AnswerError(f"{source} ended without saying that it was done.")

    async def close(self) -> None:
        for process in self._processes.values():
            await process.stop()
        self._processes.clear()

    async def _endpoint(
        self, name: str, messages: list[dict[str, Any]], params: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        name, _, model = name.partition("/")
        endpoint = endpoints(self._project).get(name)
        if endpoint is None:
            raise AnswerError(f"fairlead.toml has no endpoint {name!r} any more.")
        body = {"model": model, "messages": messages, "stream": True, **params}
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST", f"{endpoint.url}/chat/completions", json=body, headers=headers
                ) as response,
            ):
                if response.status_code != 200:
                    await response.aread()
                    raise AnswerError(
                        f"{name} answered {response.status_code}: {_complaint(response, endpoint.key)}"
                    )
                finish, done = None, False
                async for line in response.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line[5:].strip()
                    if done := data == "[DONE]":
                        break
                    text, finish = _delta(name, data, finish)
                    if text:
                        yield Piece(text)
        except httpx.TimeoutException:
            raise AnswerError(f"{name} said nothing for too long.") from None
        except httpx.HTTPError as error:
            raise AnswerError(f"{name} could not be reached: {type(error).__name__}.") from None
        if finish is None and not done:
            raise AnswerError(f"{name} broke off in the middle of an answer.")
        yield Piece("", finished=finish in ("stop", None))

    async def _model(
        self, name: str, messages: list[dict[str, Any]], params: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        try:
            folder = await to_thread.run_sync(_model_folder, self._project, name)
        except FairleadError as error:
            raise AnswerError(str(error)) from None
        process = self._processes.setdefault(
            name, ModelProcess(name, [sys.executable, "-m", "fairlead", "answer", str(folder)])
        )
        text, finished = await process.ask({"messages": messages, **params})
        yield Piece(text, finished=finished)


class ModelProcess:
    """Takes a line of JSON and gives one, as `fairlead answer` does, one after the other.  It ends with its standard input."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name, self._command = name, command
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def ask(self, request: Mapping[str, Any]) -> tuple[str, bool]:
        async with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            answer = None
            try:
                answer = await self._exchanged(request)
            finally:
                if answer is None:  # also a cancelled one: its answer must not be read as that of the next
                    self._end()
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end)
        if "error" in answer:
            raise AnswerError(f"{self._name}: {answer['error']}")
        return str(answer["text"]), bool(answer["finished"])

    async def _exchanged(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, limit=LINE, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith(KEY)},
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            raise AnswerError(
                f"the process of {self._name} ended. `fairlead chat {self._name}` says why; it needs fairlead[train]."
            )
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()

    async def stop(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process = self._process
        self._end()
        if process is not None:
            await process.wait()


def _model_folder(project: Path | None, name: str) -> Path:
    if project is None:
        raise Invalid({"source": "names a model, but the studio serves no project"})
    try:
        return artifact_views.get(
            load_project(project), "model", name
        ).folder  # by its name alone: a path could lead anywhere
    except FairleadError:
        raise Invalid({"source": f"{name!r} is no model of the project"}) from None


def _delta(name: str, data: str, finish: str | None) -> tuple[str, str | None]:
    try:
        found = json.loads(data)
        if "error" in found:
            raise AnswerError(f"{name} broke off with an error.")
        choices = found.get("choices") or [{}]  # the last line of some servers has only the usage
        text = (choices[0].get("delta") or {}).get("content") or ""
        return str(text), choices[0].get("finish_reason") or finish
    except (json.JSONDecodeError, AttributeError, TypeError, LookupError):
        raise AnswerError(f"{name} did not answer as an OpenAI-compatible server does.") from None


def _complaint(response: httpx.Response, key: str | None) -> str:
    try:
        error = response.json()["error"]
        said = str(error["message"] if isinstance(error, dict) else error)
    except (json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError):
        said = response.reason_phrase or "without a word"
    if key:
        said = said.replace(key, "(the key)")
    return " ".join(said.split())[:200]
