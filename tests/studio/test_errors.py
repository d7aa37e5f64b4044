"""Error responses, for programs and for people."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

import web
from fairlead.labels.database import Database
from fairlead.studio import access_control, headers
from studio.accounts import ME, ada


def test_errors_are_json_for_programs_and_a_page_for_people(app: FastAPI, database: Database) -> None:
    client = web.browser(app, database, ada(database))
    assert client.get("/api/v1/nothing").json() == {"error": {"message": "there is no such page."}}
    page = client.get("/nothing")
    assert page.status_code == 404 and "<h1>Not found</h1>" in page.text
    wrong = client.post(f"{ME}/tokens", json={"name": 7, "scopes": ["read"], "days": 0}).json()["error"]
    assert set(wrong["fields"]) == {"name", "days"} and wrong["field"] == "name"
    assert client.put(ME).status_code == 405


def test_a_bug_tells_nothing_and_is_logged(
    app: FastAPI, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(viewer: Annotated[object, Depends(access_control.Allow("anyone"))]) -> None:
        raise RuntimeError("the inside of the studio")

    app.get("/api/v1/broken")(broken)
    said = web.stranger(app, quiet=True).get("/api/v1/broken")
    assert (
        said.status_code == 500
        and "inside" not in said.text
        and "was logged" in said.json()["error"]["message"]
    )
    assert {name: said.headers[name] for name in headers.HEADERS} == headers.HEADERS and said.headers[
        "cache-control"
    ] == "no-store"
