"""A studio under a path of its public address, behind a real proxy."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI

import proxies
from fairlead.labels.database import Database
from fairlead.store.project import Project, create_project
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from proxies import Proxy
from studio.running_server import running

PATH = "/labels"


@dataclass
class Proxied:
    url: str
    app: FastAPI
    project: Project


@contextlib.contextmanager
def proxied(name: Proxy, database: Database, database_url: str, folder: Path) -> Iterator[Proxied]:
    """A studio behind the proxy of the documentation."""
    if proxies.program(name) is None:
        pytest.skip(f"no {name} on this machine; tests/get_proxies.py says how to get one")
    port = proxies.free_port()
    project = create_project(folder / "project")
    settings = Settings(
        database=database_url,
        project=project.root,
        public_url=f"http://127.0.0.1:{port}{PATH}",
    )
    app = create_app(settings, database)
    with running(app, settings) as studio_port:
        try:
            with proxies.running(name, folder / "proxy", port=port, studio_port=studio_port):
                yield Proxied(settings.origin, app, project)
        finally:
            app.state.live.close()
