"""Webhooks through the API and on their page, delivered to a real server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import web
from fairlead.labels.database import Database
from fairlead.store.project import create_project
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings

WEBHOOKS = "/api/v1/webhooks"
TIMEOUT_S = 20.0


@pytest.fixture
def olga(app: FastAPI, database: Database) -> httpx.Client:
    return web.browser(app, database, web.person(database, "Olga", "owner"))


def test_the_secret_is_shown_once(olga: httpx.Client) -> None:
    created = olga.post(WEBHOOKS, json={"url": "https://example.org/x", "verbs": ["judgement.made"]})
    assert created.status_code == 201 and created.json()["secret"].startswith("whsec_")
    secret = created.json()["secret"]
    [listed] = olga.get(WEBHOOKS).json()["webhooks"]
    assert "secret" not in listed and listed["verbs"] == ["judgement.made"] and listed["on"]
    page = olga.get("/webhooks").text
    assert "https://example.org/x" in page and secret not in page
    assert secret not in olga.get("/api/v1/events/list?after=0").text
    stopped = olga.patch(f"{WEBHOOKS}/{listed['id']}", json={"on": False}).json()
    assert not stopped["on"] and "stopped" in olga.get("/webhooks").text
    assert olga.post(f"{WEBHOOKS}/{listed['id']}/test").json()["on"]
    assert olga.delete(f"{WEBHOOKS}/{listed['id']}").status_code == 204
    assert olga.get(WEBHOOKS).json() == {"webhooks": []}
    assert olga.delete(f"{WEBHOOKS}/{listed['id']}").status_code == 404


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/", "http://169.254.169.254/", "x"])
def test_private_addresses_are_refused(olga: httpx.Client, url: str) -> None:
    refused = olga.post(WEBHOOKS, json={"url": url})
    assert refused.status_code == 422 and refused.json()["error"]["field"] == "url"


def test_events_reach_a_server(database: Database, database_url: str, tmp_path: Path) -> None:
    """The studio's own worker delivers, when private addresses are allowed."""
    received: list[str] = []
    has_arrived = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.extend(event["verb"] for event in body["events"])
            self.send_response(200)
            self.end_headers()
            if "campaign.created" in received:
                has_arrived.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    project = create_project(tmp_path / "home")
    app = create_app(Settings(database=database_url, project=project.root, private_webhooks=True), database)
    owner = web.browser(app, database, web.person(database, "Olga", "owner"))
    try:
        with TestClient(app):  # runs the worker
            url = f"http://127.0.0.1:{server.server_port}/hook"
            assert owner.post(WEBHOOKS, json={"url": url}).status_code == 201
            owner.post("/api/v1/campaigns", json={"name": "Help", "kind": "pairwise"})
            assert has_arrived.wait(TIMEOUT_S)
    finally:
        server.shutdown()
        thread.join(TIMEOUT_S)
        server.server_close()
    assert received.index("webhook.made") < received.index("campaign.created")
