"""The studio's app in this process, with clients for signed-in browsers, API tokens and strangers."""

import anyio.from_thread
import httpx
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI

from fairlead.labels import campaigns, credentials, members, people
from fairlead.labels.database import Database, now
from fairlead.labels.people import Person
from fairlead.studio import auth

ORIGIN = "http://127.0.0.1:8400"


class InProcess(httpx.BaseTransport):
    """Asks an app without a network.

    An error that the app does not answer is raised here, unless `quiet`.
    """

    def __init__(self, app: FastAPI, *, quiet: bool = False, address: str = "127.0.0.1") -> None:
        self._portal: BlockingPortal | None = getattr(
            app.state, "portal", None
        )  # one event loop for many requests is quicker
        self._transport = httpx.ASGITransport(
            app=app, raise_app_exceptions=not quiet, client=(address, 50_000)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()

        async def ask() -> httpx.Response:
            answer = await self._transport.handle_async_request(request)
            await answer.aread()
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content, request=request
            )

        if self._portal is not None:
            return self._portal.call(ask)
        with anyio.from_thread.start_blocking_portal() as portal:
            return portal.call(ask)


def stranger(app: FastAPI, *, quiet: bool = False, address: str = "127.0.0.1") -> httpx.Client:
    """Somebody who has not logged in; follows no redirects."""
    return httpx.Client(transport=InProcess(app, quiet=quiet, address=address), base_url=ORIGIN)


def browser(app: FastAPI, database: Database, one: Person, *, days: int = 30) -> httpx.Client:
    """Somebody who has logged in, with the CSRF token that their page would send."""
    with database.write() as connection:
        secret = credentials.start_session(connection, one, days=days, at=now())
    client = stranger(app)
    client.cookies.set(auth.COOKIE, secret, domain="127.0.0.1")
    client.headers["X-CSRF-Token"] = auth.csrf_of(secret)
    return client


def program(app: FastAPI, database: Database, one: Person, *scopes: str) -> httpx.Client:
    """A program with that person's token."""
    with database.write() as connection:
        _, text = credentials.create_token(connection, one, name="a program", scopes=scopes, at=now())
    client = stranger(app)
    client.headers["Authorization"] = f"Bearer {text}"
    return client


def person(database: Database, name: str, role: str | None = None, **memberships: str) -> Person:
    """Somebody with a role in the studio, and (by slug, with `_` for `-`) in campaigns."""
    from_slug = {slug.replace("_", "-"): held for slug, held in memberships.items()}
    with database.write() as connection:
        one = people.add(connection, name=name, role=role)
        for slug, held in from_slug.items():
            members.join(connection, one, campaigns.get(connection, slug).id, held, by=one.rater)
        return people.get_by_id(connection, one.id)
