"""Settings that a studio needs at its start.  Everything else is in its database."""

import os
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fairlead.labels.errors import StudioError
from fairlead.studio import public_path

PORT = 8400
HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
SECRET = "FAIRLEAD_OIDC_SECRET"  # environment variable with the client secret


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """Single sign-on with an OpenID Connect provider, in addition to passwords."""

    issuer: str  # https://login.example.org; its /.well-known/openid-configuration is read
    client_id: str
    client_secret: str = field(repr=False)
    name: str = "single sign-on"  # shown on the sign-in button

    def __post_init__(self) -> None:
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
            raise StudioError(f"the issuer {self.issuer!r} must be an https:// address.", field="oidc.issuer")


@dataclass(frozen=True, kw_only=True)
class Settings:
    database: str = field(repr=False)  # an SQLite file, or postgresql://USER:PASSWORD@HOST/NAME
    project: Path | None = None  # the folder whose runs and artifacts are shown
    host: str = "127.0.0.1"
    port: int = PORT
    public_url: str | None = None  # the address that people open, when a proxy is in front; may have a path
    allowed_hosts: tuple[str, ...] = ()  # further host names; "*.example.org" for all under a domain
    connections_per_source: int = 256  # open connections of one network address; 0 for any number
    trusted_proxies: str = "127.0.0.1"  # proxies whose X-Forwarded-For header is trusted
    private_webhooks: bool = False  # let webhooks lead to private addresses
    session_days: int = 30  # a session ends after so many days without a visit
    upload_mb: int = 256  # the largest file that a lead can upload, in MiB
    time_zone: str = "UTC"  # of days and times on pages: a name such as Europe/Berlin
    oidc: Oidc | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise StudioError(f"{self.port} is not a port; use 0 to 65535.", field="port")
        if self.time_zone != "UTC" and self.time_zone not in zoneinfo.available_timezones():
            raise StudioError(
                f"{self.time_zone!r} is not a time zone; use a name such as Europe/Berlin or UTC.",
                field="time_zone",
            )
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or not public_path.PATH.fullmatch(parts.path)
                or "?" in self.public_url
                or "#" in self.public_url
            ):
                raise StudioError(
                    f"{self.public_url!r} must look like https://labels.example.org or "
                    "https://example.org/labels.",
                    field="public_url",
                )
        for host in self.allowed_hosts:
            if not HOST.fullmatch(host):
                raise StudioError(
                    f"{host!r} is not a host name. Write labels.example.org or *.example.org.",
                    field="allowed_hosts",
                )
        if self.connections_per_source < 0:
            raise StudioError("must be 0 or more; 0 allows any number.", field="connections_per_source")

    @property
    def origin(self) -> str:
        """The address that people open, without a trailing slash."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            self.host, f"[{self.host}]" if ":" in self.host else self.host
        )
        return f"http://{host}:{self.port}"

    @property
    def path(self) -> str:
        """The path of the public address: "" at the root of a site, or for example "/labels"."""
        return urlsplit(self.public_url or "").path.rstrip("/")

    @property
    def zone(self) -> tzinfo:
        return UTC if self.time_zone == "UTC" else zoneinfo.ZoneInfo(self.time_zone)

    @property
    def secure(self) -> bool:
        """Whether the studio is served over https, so that cookies can be restricted to it."""
        return self.origin.startswith("https://")


def read_oidc(project_settings: Mapping[str, Any]) -> Oidc | None:
    """The table `[studio.oidc]` of fairlead.toml, or None.  The client secret comes from the environment."""
    studio = project_settings.get("studio", {})
    table = studio.get("oidc") if isinstance(studio, dict) else studio
    if table is None:
        return None
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise StudioError(
            "[studio.oidc] in fairlead.toml must be a table of strings: issuer, client_id and name.",
            field="oidc",
        )
    if unknown := set(table) - {"issuer", "client_id", "name"}:
        raise StudioError(
            f"[studio.oidc] has no key {', '.join(sorted(unknown))}; it has issuer, client_id and name.",
            field="oidc",
        )
    if missing := {"issuer", "client_id"} - set(table):
        raise StudioError(f"[studio.oidc] needs {' and '.join(sorted(missing))}.", field="oidc")
    if not (secret := os.environ.get(SECRET)):
        raise StudioError(
            f"single sign-on needs the client secret in the environment variable {SECRET}.", field="oidc"
        )
    return Oidc(**table, client_secret=secret)
