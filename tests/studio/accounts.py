"""A person with a password, and how they sign in."""

import httpx

from fairlead.labels import people
from fairlead.labels.database import Database
from fairlead.labels.passwords import hash_password

PASSWORD = "correct horse battery"


ME = "/api/v1/me"


def ada(database: Database, role: str | None = None) -> people.Person:
    with database.write() as connection:
        return people.add(
            connection, name="Ada", email="ada@example.org", password=hash_password(PASSWORD), role=role
        )


def csrf(client: httpx.Client) -> dict[str, str]:
    return {"X-CSRF-Token": client.get(ME).json()["csrf"]}


def log_in(client: httpx.Client, email: str = "ada@example.org", password: str = PASSWORD) -> httpx.Response:
    return client.post("/api/v1/session", json={"email": email, "password": password})
