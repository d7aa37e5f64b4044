"""How often and how much one client may ask."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

import web
from fairlead.labels import people
from fairlead.labels.database import Database
from fairlead.labels.passwords import hash_password
from fairlead.studio.limits import MAX_KEYS, BodyLimit, Limiter, TooMany
from studio.leads import open_place

PASSWORD = "correct horse battery"


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(limiter: Limiter, key: str = "ada") -> bool:
    try:
        limiter.check(key)
    except TooMany:
        return True
    return False


def test_a_limit_holds_for_a_while_and_for_one_key() -> None:
    time = Time()
    limiter = Limiter(2, 60, time)
    limiter.failed("ada")
    time.now = 40
    assert not refused(limiter)
    limiter.failed("ada")
    assert refused(limiter) and not refused(limiter, "ben")
    with pytest.raises(TooMany, match="20 seconds") as said:
        limiter.check("ada")
    assert said.value.wait_s == 20
    time.now = 60  # the first failure is forgotten, the second is not
    assert not refused(limiter)
    limiter.failed("ada")
    assert refused(limiter)
    limiter.succeeded("ada")
    assert not refused(limiter)


def test_what_is_remembered_is_bounded() -> None:
    limiter = Limiter(1, 60, Time())
    limiter.failed("first")
    for number in range(MAX_KEYS):
        limiter.failed(str(number))
    assert not refused(limiter, "first") and refused(limiter, "0")


def attempt(client: httpx.Client, email: str, password: str = "wrong wrong") -> int:
    return client.post("/api/v1/session", json={"email": email, "password": password}).status_code


@pytest.mark.slow
def test_guessing_one_persons_password(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
        people.add(connection, name="Ben", email="ben@example.org", password=hash_password(PASSWORD))
    clients = [web.stranger(app, address=f"10.0.0.{number}") for number in range(9)]  # also from many places
    assert [attempt(client, " ADA@example.org") for client in clients] == [401] * 8 + [429]
    said = clients[8].post("/api/v1/session", json={"email": "ada@example.org", "password": PASSWORD})
    assert said.status_code == 429 and int(said.headers["retry-after"]) > 800
    assert "try again in 15 minutes" in said.json()["error"]["message"]
    assert attempt(clients[8], "ben@example.org", PASSWORD) == 200


@pytest.mark.slow
def test_logging_in_forgives_what_went_before(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        people.add(connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD))
    app.state.wrong_passwords = Limiter(2, 900)
    for password in ("wrong wrong", PASSWORD) * 3:
        assert attempt(web.stranger(app), "ada@example.org", password) == (
            200 if password == PASSWORD else 401
        )


@pytest.mark.slow
def test_guessing_many_peoples_passwords_from_one_place(app: FastAPI) -> None:
    app.state.wrong_clients = Limiter(4, 900)
    client, other = web.stranger(app, address="10.0.0.1"), web.stranger(app, address="10.0.0.2")
    assert [attempt(client, f"{number}@example.org") for number in range(5)] == [401] * 4 + [429]
    assert attempt(other, "x@example.org") == 401
    assert client.post("/login", data={"email": "a@example.org", "password": "x"}).status_code == 429


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
    limited = BodyLimit(app, max_body=500, uploads=600, is_lead=lambda scope: lead)
    asyncio.run(limited(scope, receive, send))
    assert sent == [status]
    assert len(chunks) == (0 if status == 200 else 1)
