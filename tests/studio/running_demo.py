"""The demo studio behind a real port."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from fairlead.labels import campaigns, judgements, schema
from fairlead.labels.database import Database, open_database
from fairlead.labels.judgements import Judgement
from fairlead.studio import demo
from fairlead.studio.app import create_app
from fairlead.studio.demo import DemoContent
from fairlead.studio.settings import Settings


@dataclass
class Demo:
    origin: str
    folder: Path
    database: Database
    content: DemoContent

    def judged(self, kind: str) -> list[Judgement]:
        with self.database.read() as connection:
            [campaign] = [entry for entry in campaigns.list_all(connection) if entry.kind == kind]
            return judgements.list_current(connection, campaign.id)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = demo.prepare_project(tmp_path_factory.mktemp("demo") / "project")
    database = open_database(f"sqlite:///{folder}/studio.db")
    schema.upgrade(database)
    content = demo.populate(database)
    with demo.serve_toy_models(folder):
        app = create_app(Settings(database=database.url, project=folder, port=0), database, demo=True)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < end
            time.sleep(0.02)
        yield Demo(
            f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", folder, database, content
        )
        server.should_exit = True
        thread.join(10)
    database.close()
