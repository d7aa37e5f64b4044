"""The studio answers to its own names only, and a refusal says what to change."""

import socket

import pytest

import web
from fairlead.labels.database import Database
from fairlead.studio import hosts
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings

SETTINGS = Settings(
    database="studio.db",
    host="studio.lan",
    public_url="https://labels.example.org:444/team",
    allowed_hosts=("other.example", "*.example.net"),
)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8400", True),
        ("[::1]:8400", True),
        ("192.168.3.4", True),
        ("localhost:8400", True),
        ("studio.localhost", True),
        (socket.gethostname().upper(), True),
        ("studio.lan", True),
        ("labels.example.org", True),
        ("LABELS.example.org.:444", True),
        ("other.example", True),
        ("a.b.example.net", True),
        ("", True),  # no browser
        ("example.net", False),
        ("evil-example.net", False),
        ("labels.example.org.evil.example", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[::1", False),
        ("evil.example@localhost:x", False),
    ],
)
def test_which_hosts_are_the_studio(host: str, allowed: bool) -> None:
    assert hosts.is_allowed(host, hosts.allowed_names(SETTINGS)) == allowed


def test_a_refusal_names_the_settings(database: Database, database_url: str) -> None:
    app = create_app(Settings(database=database_url), database)
    with web.stranger(app) as client:
        headers = {"Host": "labels.example.org"}
        refused = client.get("/api/v1/campaigns", headers=headers)
        assert refused.status_code == 400
        message = refused.json()["error"]["message"]
        assert "--public-url https://labels.example.org" in message
        assert "--allowed-hosts labels.example.org" in message
        refused = client.get("/api/v1/campaigns", headers={"Host": "Labels.example.org:8443"})
        advice = refused.json()["error"]["message"].partition("--allowed-hosts ")[2].rstrip(".")
        Settings(database=database_url, allowed_hosts=(advice,))  # the advice can be followed
        assert "--public-url https://labels.example.org:8443 or" in refused.text
        page = client.get("/login", headers={"Host": "<b>.example.org"})
        assert page.status_code == 400 and "&lt;b&gt;" in page.text and "<b>" not in page.text
        assert client.get("/login").status_code == 200


def test_the_refusal_of_a_proxied_request_names_the_setting(database: Database, database_url: str) -> None:
    app = create_app(Settings(database=database_url), database)
    with web.stranger(app) as client:
        form = {"email": "ada@example.org", "password": "wrong"}
        headers = {"Origin": "https://labels.example.org", "Sec-Fetch-Site": "same-origin"}
        refused = client.post("/login", data=form, headers=headers)
        assert refused.status_code == 403
        assert "--public-url https://labels.example.org" in refused.text
