"""Those who answer in a live chat, against a real server on this machine and a real process."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.data.records import Message
from fairlead.labels.errors import Invalid, StudioError
from fairlead.store.artifact import MANIFEST, Provenance, publish_artifact
from fairlead.store.project import PROJECT_FILE, create_project, load_project
from fairlead.studio import chat_backends
from fairlead.studio.chat_backends import AnswerError, ChatBackends, Piece
from studio.endpoint import Endpoint, endpoint

HELLO = (Message("user", "Hello"),)
SECRET = "sk-not-for-anybody"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, server: Endpoint) -> Path:
    folder = create_project(tmp_path / "project").root
    with open(folder / PROJECT_FILE, "a") as file:
        file.write(f'\n[studio.endpoints.here]\nurl = "{server.url}/"\n')
    return folder


def ask(project: Path, source: str = "endpoint:here/small", **settings: float) -> list[Piece]:
    async def asked() -> list[Piece]:
        found = ChatBackends(project, **settings)  # type: ignore[arg-type]
        try:
            return [
                piece
                async for piece in found.answer(
                    source, HELLO, {"temperature": 0.5, "max_tokens": 7, "seed": 3}
                )
            ]
        finally:
            await found.close()

    return asyncio.run(asked())


def test_an_endpoint_answers_piece_by_piece(project: Path, server: Endpoint) -> None:
    assert ask(project) == [Piece("Hello "), Piece("there."), Piece("", finished=True)]
    [body] = server.asked
    assert body == {
        "model": "small",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "temperature": 0.5,
        "max_tokens": 7,
        "seed": 3,
    }
    assert server.keys == [None]


def test_the_first_piece_comes_before_the_last_is_written(project: Path, server: Endpoint) -> None:
    server.gate.clear()

    async def asked() -> str:
        pieces = ChatBackends(project).answer("endpoint:here/small", HELLO, {})
        first = await asyncio.wait_for(anext(pieces), 5)
        server.gate.set()
        return first.text + "".join([piece.text async for piece in pieces])

    assert asyncio.run(asked()) == "Hello there."


def test_an_answer_that_was_cut_off_says_so(project: Path, server: Endpoint) -> None:
    server.broken = "length"
    assert ask(project)[-1] == Piece("", finished=False)


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    project: Path, server: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAIRLEAD_KEY_HERE", SECRET)
    caplog.set_level(logging.DEBUG)
    ask(project)
    assert server.keys == [f"Bearer {SECRET}"]
    server.status = 401
    with pytest.raises(AnswerError) as refused:
        ask(project)
    assert "401" in str(refused.value) and SECRET not in str(refused.value)
    assert SECRET not in repr(chat_backends.endpoints(project)) and SECRET not in caplog.text
    assert all(SECRET not in path.read_text() for path in project.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("broken", "said"), [("json", "did not answer like"), ("cut", "stopped in the middle")]
)
def test_a_broken_answer_is_an_error(project: Path, server: Endpoint, broken: str, said: str) -> None:
    server.broken = broken
    with pytest.raises(AnswerError, match=said):
        ask(project)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 302])
def test_a_refusal_is_told(project: Path, server: Endpoint, status: int) -> None:
    server.status = status
    with pytest.raises(AnswerError, match=f"here answered {status}"):
        ask(project)


def test_silence_has_an_end(project: Path, server: Endpoint) -> None:
    server.gate.clear()
    begun = time.monotonic()
    with pytest.raises(AnswerError, match="too long"):
        ask(project, timeout=httpx.Timeout(0.3))  # type: ignore[arg-type]
    with pytest.raises(AnswerError, match="longer than"):
        ask(project, max_answer_s=0.3)
    assert time.monotonic() - begun < 5


def test_nobody_there_is_told(project: Path) -> None:
    (project / PROJECT_FILE).write_text('[studio.endpoints.here]\nurl = "http://127.0.0.1:9/v1"\n')
    with pytest.raises(AnswerError, match="could not be reached"):
        ask(project)


def test_an_answer_without_an_end_is_cut(project: Path, server: Endpoint) -> None:
    server.replies["small"] = ["x" * 60_000] * 3
    pieces = ask(project)
    assert (
        sum(len(piece.text) for piece in pieces) == chat_backends.LONGEST_ANSWER
        and pieces[-1].finished is False
    )


@pytest.mark.parametrize(
    "source",
    [
        "endpoint:there/x",
        "endpoint:here/",
        "endpoint:here/a\nb",
        "model:none",
        "model:../../x",
        "http://x",
        "",
    ],
)
def test_a_lead_chooses_among_what_is_there(project: Path, source: str) -> None:
    chat_backends.check_source(project, "endpoint:here/any/model")
    with pytest.raises(Invalid):
        chat_backends.check_source(project, source)
    with pytest.raises(Invalid):
        chat_backends.check_source(None, source)


def test_of_a_model_no_more_is_looked_at_than_its_own_folder(project: Path) -> None:
    opened = load_project(project)
    publish_artifact(
        opened,
        "model",
        "sft",
        Provenance(parents=[], config={}, seed=0, metrics={}),
        fill=lambda folder: (folder / "x").touch(),
    )
    other = opened.artifacts / "model" / "slow" / MANIFEST
    other.parent.mkdir()
    os.mkfifo(other)  # who reads it waits for ever
    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(chat_backends.check_source, project, "model:sft")
        try:
            checked.result(timeout=10)
        finally:
            if checked.running():
                other.write_text("{}")


@pytest.mark.parametrize("url", ["ftp://x", "file:///etc/passwd", "http://user:key@x/v1", ""])
def test_an_address_that_is_none_is_refused(project: Path, url: str) -> None:
    (project / PROJECT_FILE).write_text(f'[studio.endpoints.here]\nurl = "{url}"\n')
    with pytest.raises(StudioError, match="endpoints.here"):
        chat_backends.endpoints(project)


# ---------------------------------------------------------------- a process of its own

ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    said = asked["messages"][-1]["content"]
    if said == "die":
        sys.exit(1)
    answer = {"error": "full"} if said == "full" else {"text": f"You said {said}.", "finished": True}
    print(json.dumps(answer), flush=True)
"""


def test_a_process_answers_one_line_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)

    async def asked() -> None:
        process = chat_backends.ModelProcess("tiny", [sys.executable, str(tmp_path / "echo.py")])

        def say(text: str) -> Coroutine[Any, Any, tuple[str, bool]]:
            return process.ask({"messages": [{"role": "user", "content": text}]})

        assert list(await asyncio.gather(say("a"), say("b"))) == [
            ("You said a.", True),
            ("You said b.", True),
        ]
        with pytest.raises(AnswerError, match="tiny: full"):
            await say("full")
        with pytest.raises(AnswerError, match="has exited"):
            await say("die")
        assert await say("again") == ("You said again.", True)  # a new one
        await process.stop()

    asyncio.run(asked())
