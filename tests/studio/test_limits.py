"""How often and how much one client may ask."""

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

import web
from fairlead.labels import attempts, people
from fairlead.labels.database import Database
from fairlead.labels.passwords import hash_password
from fairlead.studio import limits
from fairlead.studio.limits import BodyLimit, Limiter, TooMany
from studio.leads import open_place

PASSWORD = "correct horse battery"


def at(second: int) -> str:
    return f"2026-03-01T12:{second // 60:02}:{second % 60:02}.000000Z"


def refused(limiter: Limiter, second: int, key: str = "ada") -> bool:
    try:
        limiter.check(key, now=at(second))
    except TooMany:
        return True
    return False


def test_a_limit_holds_for_a_while_and_for_one_key(database: Database) -> None:
    limiter = Limiter(database, "password", limit=2, per_s=60)
    limiter.begin("ada", now=at(0))
    assert not refused(limiter, 40)
    limiter.begin("ada", now=at(40))
    assert refused(limiter, 40) and not refused(limiter, 40, "ben")
    assert not refused(Limiter(database, "client", limit=2, per_s=60), 40)
    with pytest.raises(TooMany, match="20 seconds") as said:
        limiter.begin("ada", now=at(40))
    assert said.value.wait_s == 20
    assert not refused(limiter, 60)  # the first failure is forgotten, the second is not
    limiter.begin("ada", now=at(60))
    assert refused(limiter, 60)
    with database.write() as connection:
        limiter.succeeded(connection, "ada")
    assert not refused(limiter, 60)


def test_all_processes_of_the_server_count_together(database: Database) -> None:
    first, second = (Limiter(database, "password", limit=3) for _ in range(2))
    with ThreadPoolExecutor(8) as threads:  # at the same time
        said = list(threads.map(lambda n: try_begin((first, second)[n % 2]), range(12)))
    assert said.count(True) == 3 and refused(first, 0) and refused(second, 0)


def try_begin(limiter: Limiter) -> bool:
    try:
        limiter.begin("ada", now=at(0))
    except TooMany:
        return False
    return True


def test_what_is_remembered_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 5)
    limiter = Limiter(database, "password", limit=1)
    limiter.begin("first", now=at(0))
    for number in range(5):
        limiter.begin(str(number), now=at(1))
    assert not refused(limiter, 2, "first") and refused(limiter, 2, "0")
    limiter.begin("later", now="2026-03-01T14:00:00.000000Z")
    with database.read() as connection:
        [stored] = connection.execute(select(attempts.attempt_table)).mappings()
    assert stored["at"].startswith("2026-03-01T14") and "later" not in str(stored)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:9::1", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("testclient", "testclient"),
    ],
)
def test_one_client_is_one_source(host: str, source: str) -> None:
    assert limits.source_of(host) == source


def attempt(client: httpx.Client, email: str, password: str = "wrong wrong") -> int:
    return client.post("/api/v1/session", json={"email": email, "password": password}).status_code


def set_limits(app: FastAPI, **limit: int) -> None:
    for name, number in limit.items():
        setattr(app.state, name, dataclasses.replace(getattr(app.state, name), limit=number))


@pytest.mark.slow
def test_a_stranger_who_guesses_locks_nobody_else_out(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
        people.add(connection, name="Ben", email="ben@example.org", password=hash_password(PASSWORD))
    set_limits(app, wrong_passwords=3)
    stranger, home = (web.stranger(app, address=f"10.0.0.{number}") for number in (1, 2))
    assert [attempt(stranger, " ADA@example.org") for _ in range(4)] == [401] * 3 + [429]
    said = stranger.post("/api/v1/session", json={"email": "ada@example.org", "password": PASSWORD})
    assert said.status_code == 429 and int(said.headers["retry-after"]) > 800
    assert "try again in 15 minutes" in said.json()["error"]["message"]
    assert attempt(home, "ada@example.org", PASSWORD) == 200
    assert (
        attempt(stranger, "ada@example.org", PASSWORD) == 429
    )  # that Ada logged in elsewhere forgives nothing
    assert attempt(stranger, "ben@example.org", PASSWORD) == 200  # people of one office share an address


@pytest.mark.slow
def test_logging_in_forgives_what_went_before(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
    set_limits(app, wrong_passwords=2)
    for password in ("wrong wrong", PASSWORD) * 3:
        assert attempt(web.stranger(app), "ada@example.org", password) == (
            200 if password == PASSWORD else 401
        )


@pytest.mark.slow
def test_guessing_many_peoples_passwords_from_one_place(app: FastAPI) -> None:
    set_limits(app, wrong_clients=4)
    client, other = web.stranger(app, address="10.0.0.1"), web.stranger(app, address="10.0.0.2")
    assert [attempt(client, f"{number}@example.org") for number in range(5)] == [401] * 4 + [429]
    assert attempt(other, "x@example.org") == 401
    assert client.post("/login", data={"email": "a@example.org", "password": "x"}).status_code == 429


def test_logging_in_does_not_count_as_guessing(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
    set_limits(app, wrong_clients=2)
    assert [attempt(web.stranger(app), "ada@example.org", PASSWORD) for _ in range(4)] == [200] * 4


def test_guessing_links(app: FastAPI) -> None:
    client = web.stranger(app)
    assert [client.get(f"/join/guess{number}").status_code for number in range(41)] == [404] * 40 + [429]
    assert client.post("/api/v1/join", json={"secret": "guess"}).status_code == 429


def test_large_requests_are_refused_before_anything_reads_them(app: FastAPI) -> None:
    client = web.stranger(app)
    said = client.post("/api/v1/session", content=b"x" * (2 * 1024 * 1024 + 1))
    assert (
        said.status_code == 413
        and said.json()["error"]["message"] == "the request is too large; the limit is 2 MiB."
    )
    assert client.post("/api/v1/session", content=b"x", headers={"content-length": "1e9"}).status_code == 413


def test_what_is_large_is_read_of_leads_alone(database: Database, tmp_path: Path) -> None:
    place = open_place(database, tmp_path)
    ada, ben = place.person("Ada", "lead"), place.person("Ben")
    wrong = web.stranger(place.app)
    wrong.headers["Authorization"] = "Bearer flt_wrong"
    others = [
        web.stranger(place.app),
        wrong,
        place.browser(ben),
        web.program(place.app, database, ben, "lead"),
    ]
    file = {"file": ("notes.txt", b"hello\n" * 500_000)}
    assert [client.post("/api/v1/uploads", files=file).status_code for client in others] == [413] * 4
    leads = [place.browser(ada), web.program(place.app, database, ada, "lead")]
    assert [client.post("/api/v1/uploads", files=file).status_code for client in leads] == [
        422
    ] * 2  # read, and no rows


@pytest.mark.parametrize(
    ("path", "lead", "status"),
    [
        ("/api/v1/uploads", True, 200),
        ("/new/uploads", True, 200),
        ("/c/uploads/uploads", True, 200),
        ("/api/v1/uploads", False, 413),
        ("/api/v1/uploads/7", True, 413),
        ("/api/v1/uploadsx", True, 413),
        ("/join/uploads", True, 413),
        ("/c/uploads/add", True, 413),
        ("/api/v1/campaigns/uploads/items", True, 413),
        ("/", True, 413),
    ],
)
def test_a_request_that_hides_its_size_is_counted_and_is_large_only_where_a_lead_uploads(
    path: str, lead: bool, status: int
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await PlainTextResponse("all read")(scope, receive, send)

    chunks = [{"type": "http.request", "body": b"x" * 60, "more_body": number < 9} for number in range(10)]
    sent: list[int] = []

    async def receive() -> Message:
        return chunks.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            sent.append(int(str(message["status"])))

    scope: Scope = {"type": "http", "path": path, "headers": [], "method": "POST"}
    limited = BodyLimit(app, max_body=500, uploads=600, lead_of=lambda scope: "ada" if lead else None)
    asyncio.run(limited(scope, receive, send))
    assert sent == [status]
    assert len(chunks) == (0 if status == 200 else 1)


def test_a_body_that_comes_too_slowly_is_given_up_and_a_stream_is_not() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await receive()  # as a stream of events waits for the end of the connection
        await PlainTextResponse("all read")(scope, receive, send)

    def run(num_parts: int) -> int:
        parts = [{"type": "http.request", "body": b"x", "more_body": n < 2} for n in range(num_parts)]
        sent: list[int] = []

        async def receive() -> Message:
            if parts:
                return parts.pop(0)
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.append(int(str(message["status"])))

        scope: Scope = {"type": "http", "path": "/", "headers": [], "method": "POST"}
        limited = BodyLimit(app, body_s=0.05, uploads=600, lead_of=lambda scope: None)
        asyncio.run(limited(scope, receive, send))
        return sent[0]

    assert run(num_parts=2) == 408  # the third part never comes
    assert run(num_parts=3) == 200


def test_a_lead_uploads_one_file_at_a_time() -> None:
    statuses: list[int] = []
    scope: Scope = {"type": "http", "path": "/api/v1/uploads", "headers": [], "method": "POST"}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not statuses:  # another upload of the same lead, while the first is read
            await limited(scope, receive, send)
        await PlainTextResponse("stored")(scope, receive, send)

    limited = BodyLimit(app, uploads=600, lead_of=lambda scope: "ada")
    asyncio.run(limited(scope, receive, send))
    asyncio.run(limited(scope, receive, send))
    assert statuses == [429, 200, 200], "the second is refused, and the next one after the first is taken"
