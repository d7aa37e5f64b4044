"""Security headers and the request log."""

import pytest
from fastapi import FastAPI

import web
from fairlead.studio import headers


@pytest.mark.parametrize(
    "path", ["/login", "/api/v1/me", "/static/studio.css", "/nothing", "/api/v1/openapi.json"]
)
def test_every_answer_has_the_headers(app: FastAPI, path: str) -> None:
    said = web.stranger(app).get(path).headers
    assert {name: said[name] for name in headers.HEADERS} == headers.HEADERS
    assert said["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")
    assert "'unsafe" not in said["content-security-policy"] and "server" not in said
