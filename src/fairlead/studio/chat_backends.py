"""Backends of a live chat: an OpenAI-compatible endpoint, or a model of the project in its own process.

    endpoint:NAME/MODEL   [studio.endpoints.NAME] in fairlead.toml sets `url`, up to and including /v1
    model:ARTIFACT        a model artifact, run by `fairlead answer` in a process that loads torch

An endpoint's API key is read from the environment variable FAIRLEAD_KEY_NAME.  It is stored nowhere and
appears in no log and no message.  Only fairlead.toml defines addresses; leads of a campaign choose among
them.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from anyio import to_thread

from fairlead.core.chat_client import Endpoint, error_message, is_http_url
from fairlead.core.errors import FairleadError
from fairlead.data.records import Messages, message_to_json
from fairlead.labels.errors import Invalid, StudioError
from fairlead.store.artifact import load_artifacts
from fairlead.store.project import PROJECT_FILE, load_project, read_settings
from fairlead.studio import artifact_views

KEY_PREFIX = "FAIRLEAD_KEY_"  # followed by the endpoint's name in capital letters
TIMEOUT = httpx.Timeout(connect=10, read=60, write=10, pool=10)  # seconds; `read` is between two pieces
MAX_ANSWER_S = 300.0  # for a whole answer
LONGEST_ANSWER = 100_000  # characters
IDLE_S = 600.0  # an idle model process is stopped after this time
LONGEST_LINE = 16 * 1024 * 1024  # bytes of one line from a model process
LONGEST_SOURCE = 200  # characters

_ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class AnswerError(StudioError):
    """An answer could not be generated.  The message is for leads and never contains the API key."""


@dataclass(frozen=True)
class Piece:
    """A piece of an answer.  Only the last piece has `finished`."""

    text: str
    finished: bool | None = None  # False: the answer was cut off


def endpoints(project: Path | None) -> dict[str, Endpoint]:
    """The endpoints in the project's fairlead.toml, by name.  Raises StudioError for an invalid entry."""
    if project is None:
        return {}
    studio = read_settings(project).get("studio", {})
    table = studio.get("endpoints", {}) if isinstance(studio, dict) else {}
    if not isinstance(table, dict):
        return {}
    result = {}
    for name, entry in table.items():
        url = entry.get("url") if isinstance(entry, dict) else None
        if not _ENDPOINT_NAME.fullmatch(name) or not isinstance(url, str) or not is_http_url(url):
            raise StudioError(
                f"{project / PROJECT_FILE}: [studio.endpoints.{name}] needs a name of lowercase letters and"
                f" digits, and a url such as http://127.0.0.1:8000/v1."
                f" Put an API key into the environment variable {KEY_PREFIX}NAME."
            )
        result[name] = Endpoint(name, url.rstrip("/"), os.environ.get(key_name(name)))
    return result


def key_name(name: str) -> str:
    """The environment variable with the API key of an endpoint."""
    return KEY_PREFIX + name.upper().replace("-", "_")


def check_source(project: Path | None, source: str) -> None:
    """Raises Invalid when the source does not exist."""
    kind, _, name = source.partition(":")
    if kind == "endpoint":
        endpoint, _, model = name.partition("/")
        known = endpoints(project)
        if (
            endpoint not in known
            or not model.strip()
            or not model.isprintable()
            or len(source) > LONGEST_SOURCE
        ):
            available_names = ", ".join(sorted(known)) or "none"
            raise Invalid(
                {"source": f"must be endpoint:NAME/MODEL; fairlead.toml has the endpoints: {available_names}"}
            )
    elif kind == "model":
        _model_folder(project, name)
    else:
        raise Invalid({"source": "must start with endpoint: or model:"})


def available(project: Path | None) -> tuple[list[str], list[str]]:
    """(names of endpoints, names of the project's model artifacts)."""
    if project is None:
        return [], []
    artifacts, _ = load_artifacts(load_project(project))
    models = [artifact.manifest.name for artifact in artifacts if artifact.manifest.kind == "model"]
    return sorted(endpoints(project)), sorted(models)


class ChatBackends:
    """Requests answers; holds the connections and model processes.  One per app, used on its event loop."""

    def __init__(
        self, project: Path | None, *, timeout: httpx.Timeout = TIMEOUT, max_answer_s: float = MAX_ANSWER_S
    ) -> None:
        self._project = project
        self._timeout = timeout
        self._max_answer_s = max_answer_s
        self._processes: dict[str, ModelProcess] = {}

    async def answer(
        self, source: str, messages: Messages, params: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        """The answer piece by piece.  Raises AnswerError."""
        rows = [message_to_json(message) for message in messages]
        kind, _, name = source.partition(":")
        ask = self._ask_endpoint if kind == "endpoint" else self._ask_model
        pieces = ask(name, rows, params)
        length = 0
        try:
            async with asyncio.timeout(self._max_answer_s), aclosing(pieces):
                async for piece in pieces:
                    length += len(piece.text)
                    if length > LONGEST_ANSWER:
                        yield Piece(piece.text[: LONGEST_ANSWER - length], finished=False)
                        return
                    yield piece
                    if piece.finished is not None:
                        return
        except TimeoutError:
            raise AnswerError(f"{source} took longer than {self._max_answer_s:.0f} s.") from None
        raise AnswerError(f"{source} stopped without marking the end of its answer.")

    async def close(self) -> None:
        for process in self._processes.values():
            await process.stop()
        self._processes.clear()

    async def _ask_endpoint(
        self, name: str, messages: list[dict[str, Any]], params: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        name, _, model = name.partition("/")
        endpoint = endpoints(self._project).get(name)
        if endpoint is None:
            raise AnswerError(f"fairlead.toml no longer has an endpoint {name!r}.")
        body = {"model": model, "messages": messages, "stream": True, **params}
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST", endpoint.completions_url, json=body, headers=endpoint.headers
                ) as response,
            ):
                if response.status_code != 200:
                    reason = error_message(endpoint, await response.aread(), response.reason_phrase)
                    raise AnswerError(f"{name} answered {response.status_code}: {reason}")
                finish_reason = None
                done = False
                async for line in response.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if done := data == "[DONE]":
                        break
                    text, finish_reason = _parse_delta(name, data, finish_reason)
                    if text:
                        yield Piece(text)
        except httpx.TimeoutException:
            raise AnswerError(f"{name} sent nothing for too long.") from None
        except httpx.HTTPError as error:
            raise AnswerError(f"{name} could not be reached: {type(error).__name__}.") from None
        if finish_reason is None and not done:
            raise AnswerError(f"{name} stopped in the middle of an answer.")
        yield Piece("", finished=finish_reason in ("stop", None))

    async def _ask_model(
        self, name: str, messages: list[dict[str, Any]], params: Mapping[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        try:
            folder = await to_thread.run_sync(_model_folder, self._project, name)
        except FairleadError as error:
            raise AnswerError(str(error)) from None
        command = [sys.executable, "-m", "fairlead", "answer", str(folder)]
        process = self._processes.setdefault(name, ModelProcess(name, command))
        text, finished = await process.ask({"messages": messages, **params})
        yield Piece(text, finished=finished)


class ModelProcess:
    """A process that answers each JSON line with a JSON line, like `fairlead answer`.

    It exits when its stdin is closed.  Requests are answered one after another.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._idle_timer: asyncio.TimerHandle | None = None

    async def ask(self, request: Mapping[str, Any]) -> tuple[str, bool]:
        """(text, whether the answer is finished).  Raises AnswerError."""
        async with self._lock:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            answer = None
            try:
                answer = await self._exchange(request)
            finally:
                if answer is None:
                    # Also after a cancelled request, whose late answer must not be taken for the next one's.
                    self._kill()
            self._idle_timer = asyncio.get_running_loop().call_later(IDLE_S, self._kill)
        if "error" in answer:
            raise AnswerError(f"{self._name}: {answer['error']}")
        return str(answer["text"]), bool(answer["finished"])

    async def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await self._start()
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
                f"the process of {self._name} has exited. Run `fairlead chat {self._name}` to see why;"
                f" it needs fairlead[train]."
            )
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            limit=LONGEST_LINE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith(KEY_PREFIX)},
        )

    def _kill(self) -> None:
        process = self._process
        self._process = None
        if process is not None and process.returncode is None:
            process.kill()

    async def stop(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        process = self._process
        self._kill()
        if process is not None:
            await process.wait()


def _model_folder(project: Path | None, name: str) -> Path:
    if project is None:
        raise Invalid({"source": "names a model, but this studio has no project folder"})
    try:
        # By name only: a path could lead out of the project.
        return artifact_views.get(load_project(project), "model", name).folder
    except FairleadError:
        raise Invalid({"source": f"{name!r} is not a model of the project"}) from None


def _parse_delta(name: str, data: str, finish_reason: str | None) -> tuple[str, str | None]:
    """(text of the piece, finish reason so far)."""
    try:
        chunk = json.loads(data)
        if "error" in chunk:
            raise AnswerError(f"{name} stopped with an error.")
        choices = chunk.get("choices") or [{}]  # the last line of some servers has only the token usage
        text = (choices[0].get("delta") or {}).get("content") or ""
        return str(text), choices[0].get("finish_reason") or finish_reason
    except (json.JSONDecodeError, AttributeError, TypeError, LookupError):
        raise AnswerError(f"{name} did not answer like an OpenAI-compatible server.") from None
