"""The Python client: against the real app, and against networks that fail at the worst moment."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

import web
from fairlead.labels import credentials, job_handlers, job_worker, judgements
from fairlead.labels.database import Database, now
from fairlead.store.project import Project
from fairlead.studio.app import create_app
from fairlead.studio.client import Client, Refused, Unreachable
from fairlead.studio.settings import Settings

URL = "http://127.0.0.1:8400"
Handler = Callable[[httpx.Request], httpx.Response | None]


def token(database: Database, *scopes: str, role: str | None = "owner") -> str:
    one = web.person(database, f"Ada {now()}", role)
    with database.write() as connection:
        return credentials.create_token(connection, one, name="a program", scopes=scopes, at=now())[1]


def client(
    app: FastAPI,
    secret: str,
    *,
    before: Handler | None = None,
    after: Callable[[httpx.Response], None] | None = None,
) -> Client:
    """A client of the app in this process; `before` and `after` can break the network on either side."""
    inner = web.InProcess(app)

    class Network(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if before is not None and (answer := before(request)) is not None:
                return answer
            answer = inner.handle_request(request)
            if after is not None:
                after(answer)
            return answer

    return Client(URL, secret, transport=Network(), sleep=lambda seconds: None)


def canned(handler: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client(URL, "flt_x", transport=httpx.MockTransport(handler), sleep=lambda seconds: None)


# ---------------------------------------------------------------- the whole way


def test_from_a_file_to_a_snapshot(
    database: Database, database_url: str, home: Project, tmp_path: Path
) -> None:
    app = create_app(Settings(database=database_url, project=home.root), database)
    stop = threading.Event()
    worker = threading.Thread(
        target=job_worker.run_worker,
        args=(database, job_handlers.handlers(home)),
        kwargs={"stop": stop, "poll_s": 0.02},
        daemon=True,
    )
    worker.start()
    rows = tmp_path / "rows.jsonl"
    pairs = [
        {
            "prompt": _said("user", f"Question {n}?"),
            "chosen": _said("assistant", f"Good {n}."),
            "rejected": _said("assistant", f"Bad {n}."),
        }
        for n in range(3)
    ]
    rows.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    with client(app, token(database, "read", "lead", "label")) as studio:
        made = studio.create_campaign("Helpful", "pairwise", pay_per_hour=20.0, guidelines="Be fair.")
        job = studio.upload(made.slug, rows)
        assert job.state == "done"
        assert studio.campaign(made.slug).progress["items"] == 3 and [
            one.slug for one in studio.campaigns()
        ] == [made.slug]
        more = {
            "prompt": [{"role": "user", "content": "More?"}],
            "answers": [_answer("Yes."), _answer("No.")],
        }
        assert studio.add_items(made.slug, [more]) == (1, 0) and studio.add_items(made.slug, [more]) == (0, 1)
        studio.set_state(made.slug, "open")
        done = 0
        while task := studio.next_task(made.slug):
            assert [answer["letter"] for answer in task.answers] == ["A", "B"]
            assert not studio.submit(made.slug, task, {"choice": 2}, active_ms=5000).late
            done += 1
        assert done == 4 and studio.progress(made.slug)["progress"]["done"] == 4
        frozen = studio.snapshot(made.slug, "helpful-1", min_margin=1)
        assert (
            frozen.digest.startswith("sha256:")
            and "comparisons.jsonl" in frozen.files
            and "snapshot/helpful-1" in frozen.train
        )
        saved = studio.download(made.slug, "helpful-1", "comparisons.jsonl", tmp_path / "out.jsonl")
        assert len(saved.read_text().splitlines()) == 4
        everything = studio.export(made.slug, tmp_path / "everything.jsonl")
        assert len(everything.read_text().splitlines()) == 4
    stop.set()
    worker.join(10)
    app.state.live.close()


def _said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def _answer(text: str) -> dict[str, Any]:
    return {"messages": _said("assistant", text)}


@pytest.fixture
def labelling(app: FastAPI, database: Database) -> tuple[FastAPI, Database, str, str]:
    """An open campaign of three thumbs, and a token."""
    secret = token(database, "read", "lead", "label")
    with client(app, secret) as studio:
        one = studio.create_campaign("Thumbs", "thumbs")
        question = [
            {"prompt": [{"role": "user", "content": f"Q{n}"}], "answers": [_answer(f"A{n}")]}
            for n in range(3)
        ]
        studio.add_items(one.slug, question)
        studio.set_state(one.slug, "open")
    return app, database, secret, one.slug


def test_skip_flag_and_release(labelling: tuple[FastAPI, Database, str, str]) -> None:
    app, _, secret, slug = labelling
    with client(app, secret) as studio:
        first, second = studio.next_tasks(slug, 2)
        studio.flag(slug, first, "broken", "It stops.")
        studio.skip(slug, first, "unclear")
        studio.release(slug, second)
        found = studio.progress(slug)["progress"]
    assert found["skips"] == {"unclear": 1} and len(found["flags"]) == 1 and found["held"] == 0


def test_what_is_refused_says_why(labelling: tuple[FastAPI, Database, str, str]) -> None:
    app, _, secret, slug = labelling
    with client(app, secret) as studio:
        task = studio.next_task(slug)
        assert task is not None
        with pytest.raises(Refused) as refused:
            studio.submit(slug, task, {"label": "perhaps"})
        assert (refused.value.status, refused.value.field) == (422, "label") and "true (good)" in str(
            refused.value
        )
        with pytest.raises(Refused, match="no campaign"):
            studio.campaign("nowhere")
    with client(app, "flt_wrong") as stranger, pytest.raises(Refused) as nobody:
        stranger.campaigns()
    assert nobody.value.status == 401


# ---------------------------------------------------------------- networks that fail


def test_an_answer_that_was_lost_does_not_make_a_second_judgement(
    labelling: tuple[FastAPI, Database, str, str],
) -> None:
    """The studio saves the judgement, the connection breaks, and the client sends again."""
    app, database, secret, slug = labelling
    keys: list[str] = []

    def cut(answer: httpx.Response) -> None:
        if answer.request.url.path.endswith("/judgement"):
            keys.append(answer.request.headers["idempotency-key"])
            if len(keys) < 4:
                raise httpx.ReadError("cut")

    with client(app, secret, after=cut) as studio:
        task = studio.next_task(slug)
        assert task is not None
        studio.submit(slug, task, {"label": True})
    assert len(keys) == 4 and len(set(keys)) == 1
    with database.read() as connection:
        assert len(judgements.list_current(connection, 1)) == 1


def test_a_key_of_ones_own_makes_it_safe_across_programs(
    labelling: tuple[FastAPI, Database, str, str],
) -> None:
    app, database, secret, slug = labelling
    with client(app, secret) as studio:
        task = studio.next_task(slug)
        assert task is not None
        first = studio.submit(slug, task, {"label": True}, key="my-own-key-1")
    with client(app, secret) as again:
        assert again.submit(slug, task.token, {"label": True}, key="my-own-key-1") == first


def test_what_may_have_been_done_is_not_sent_again() -> None:
    """To make a campaign twice would be to make two."""
    asked: list[str] = []

    def lost(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ReadTimeout("no answer")

    with canned(lost) as studio, pytest.raises(Unreachable, match="not known whether"):
        studio.create_campaign("Helpful", "pairwise")
    assert len(asked) == 1


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout])
def test_what_was_never_sent_is_sent_again(error: type[httpx.TransportError]) -> None:
    asked = 0

    def starting(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise error("nobody there")
        return httpx.Response(201, json=CAMPAIGN)

    with canned(starting) as studio:
        assert studio.create_campaign("Helpful", "pairwise").slug == "helpful"
    assert asked == 3


CAMPAIGN: dict[str, Any] = {
    "slug": "helpful",
    "name": "Helpful",
    "kind": "pairwise",
    "state": "draft",
    "overlap": 1,
    "progress": {},
    "and_more": "of a newer studio",
}


def test_a_busy_studio_is_given_the_time_that_it_asks_for() -> None:
    pauses: list[float] = []
    answers = [
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503),
        httpx.Response(200, json={"campaigns": [CAMPAIGN]}),
    ]
    studio = Client(
        URL, "flt_x", transport=httpx.MockTransport(lambda request: answers.pop(0)), sleep=pauses.append
    )
    assert len(studio.campaigns()) == 1
    assert pauses[0] == 7.0 and 0 < pauses[1] < 7


def test_it_gives_up_and_says_so() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with canned(nobody) as studio, pytest.raises(Unreachable, match="cannot be reached"):
        studio.campaigns()
    with canned(lambda request: httpx.Response(503)) as studio, pytest.raises(Refused, match="too busy"):
        studio.campaigns()
    with (
        canned(lambda request: httpx.Response(418, text="<html>no JSON</html>")) as studio,
        pytest.raises(Refused, match="418"),
    ):
        studio.campaigns()


def test_a_download_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("cut")

    with canned(lambda request: httpx.Response(200, stream=Broken())) as studio, pytest.raises(Unreachable):
        studio.download("helpful", "one", "comparisons.jsonl", tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_names_cannot_leave_their_place_in_the_address() -> None:
    seen: list[str] = []

    def look(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(404, json={"error": {"message": "no"}})

    with canned(look) as studio:
        for call in (lambda: studio.campaign("../me"), lambda: studio.skip("a", "../../x?y=1", "unclear")):
            with pytest.raises(Refused):
                call()
    assert seen == ["/api/v1/campaigns/..%2Fme", "/api/v1/campaigns/a/tasks/..%2F..%2Fx%3Fy%3D1/skip"]


# ---------------------------------------------------------------- events


def test_events_go_on_after_a_cut() -> None:
    """Three lines: the first is cut in the middle of an event, the second refused for a moment, the third
    goes on.
    """
    asked: list[int] = []

    def event(seq: int) -> str:
        said = {
            "seq": seq,
            "at": "x",
            "verb": "v.v",
            "actor": "a",
            "campaign": None,
            "subject": "",
            "body": {"text": "data: no"},
        }
        return f"id: {seq}\ndata: {json.dumps(said)}\n\n"

    class Cut(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield f"retry: 2000\nid: 4\n\n{event(5)}id: 9\n: still here\n\nid: 10\nda".encode()
            raise httpx.RemoteProtocolError("cut")

    answers = [
        httpx.Response(200, stream=Cut()),
        httpx.Response(503),
        httpx.Response(200, text=event(10) + event(11)),
        httpx.Response(404, json={"error": {"message": "gone"}}),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(int(request.url.params["after"]))
        return answers.pop(0)

    found = []
    with canned(answer) as studio, pytest.raises(Refused, match="gone"):
        for one in studio.events(after=4):
            found.append(one.seq)
    assert found == [5, 10, 11] and asked == [4, 9, 9, 11]


def test_events_of_a_running_studio(labelling: tuple[FastAPI, Database, str, str]) -> None:
    app, _, secret, slug = labelling
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with Client(url, secret) as studio, Client(url, secret) as other:
        stream = studio.events(campaign=slug)
        after = threading.Timer(0.5, lambda: other.submit(slug, other.next_tasks(slug)[0], {"label": False}))
        after.start()
        event = next(stream)
        assert (event.verb, event.campaign) == ("judgement.made", slug)
        stream.close()
        after.join()
    app.state.live.close()
    server.should_exit = True
    thread.join(10)
