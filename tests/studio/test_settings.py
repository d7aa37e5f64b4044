"""What a studio can be told, and what it refuses to be told."""

from typing import Any

import pytest

from fairlead.labels.errors import StudioError
from fairlead.studio import settings
from fairlead.studio.settings import Oidc, Settings

TABLE = {"issuer": "https://login.example.org", "client_id": "studio"}


@pytest.mark.parametrize(
    ("given", "origin", "secure"),
    [
        ({}, "http://127.0.0.1:8400", False),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80", False),
        ({"host": "::1"}, "http://[::1]:8400", False),
        ({"host": "studio.local"}, "http://studio.local:8400", False),
        ({"public_url": "https://labels.example.org/"}, "https://labels.example.org", True),
        ({"public_url": "http://10.0.0.1:90"}, "http://10.0.0.1:90", False),
        ({"public_url": "https://example.org/team/labels/"}, "https://example.org/team/labels", True),
    ],
)
def test_where_people_come_in(given: dict[str, Any], origin: str, secure: bool) -> None:
    made = Settings(database="studio.db", **given)
    assert (made.origin, made.secure) == (origin, secure)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"port": 70_000}, "port"),
        ({"port": -1}, "port"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"public_url": "labels.example.org"}, "public_url"),
        ({"public_url": 'https://example.org/"labels'}, "public_url"),
        ({"public_url": "https://example.org//labels"}, "public_url"),
        ({"public_url": "https://example.org/labels#top"}, "public_url"),
        ({"allowed_hosts": ("labels.example.org:443",)}, "allowed_hosts"),
        ({"allowed_hosts": ("*",)}, "allowed_hosts"),
        ({"connections_per_source": -1}, "connections_per_source"),
        ({"public_url": "ftp://example.org"}, "public_url"),
        ({"public_url": "https://example.org?x=1"}, "public_url"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(given: dict[str, Any], field: str) -> None:
    with pytest.raises(StudioError) as refused:
        Settings(database="studio.db", **given)
    assert refused.value.field == field


def test_settings_can_be_shown_without_their_secrets() -> None:
    shown = repr(
        Settings(
            database="postgresql://ada:hunter2@db/studio",
            oidc=Oidc(issuer="https://login.example.org", client_id="studio", client_secret="topsecret"),
        )
    )
    assert "hunter2" not in shown and "topsecret" not in shown and "login.example.org" in shown


def test_single_sign_on_comes_from_the_project_and_its_secret_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(settings.SECRET, raising=False)
    assert settings.read_oidc({}) is None and settings.read_oidc({"studio": {}}) is None
    with pytest.raises(StudioError, match=settings.SECRET):
        settings.read_oidc({"studio": {"oidc": TABLE}})
    monkeypatch.setenv(settings.SECRET, "topsecret")
    found = settings.read_oidc({"studio": {"oidc": TABLE | {"name": "Example"}}})
    assert found == Oidc(
        issuer="https://login.example.org", client_id="studio", client_secret="topsecret", name="Example"
    )


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"issuer": "https://login.example.org"}, "needs client_id"),
        (TABLE | {"secret": "x"}, "no key secret"),
        (TABLE | {"issuer": "http://login.example.org"}, "https"),
        (TABLE | {"client_id": 7}, "strings"),
        ("https://login.example.org", "strings"),
    ],
)
def test_single_sign_on_that_cannot_work_is_said_at_once(
    table: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.SECRET, "topsecret")
    with pytest.raises(StudioError, match=why):
        settings.read_oidc({"studio": {"oidc": table}})


def test_a_provider_on_this_machine_needs_no_https() -> None:
    assert (
        Oidc(issuer="http://127.0.0.1:9000", client_id="studio", client_secret="x").name == "single sign-on"
    )
