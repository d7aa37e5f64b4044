"""The demo: campaigns of every kind, colleagues who label through the real HTTP API, and a link that lets a newcomer in."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from fairlead.core.seed import derive_rng
from fairlead.labels import campaigns, chats, events, items, judgements, people, schema, task_kinds
from fairlead.labels.database import Database, open_database
from fairlead.labels.judgements import Judgement
from fairlead.simulate import raters, world
from fairlead.store.project import Project
from fairlead.studio import demo, simulated_labeller
from fairlead.studio.app import create_app
from fairlead.studio.demo import Populated
from fairlead.studio.demo_texts import TEXTS
from fairlead.studio.settings import Settings


@dataclass
class Demo:
    origin: str
    folder: Path
    database: Database
    made: Populated

    def judged(self, kind: str) -> list[Judgement]:
        with self.database.read() as connection:
            [one] = [one for one in campaigns.list_all(connection) if one.kind == kind]
            return judgements.list_current(connection, one.id)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = demo.prepare(tmp_path_factory.mktemp("demo") / "project")
    database = open_database(f"sqlite:///{folder}/studio.db")
    schema.upgrade(database)
    made = demo.populate(database)
    with demo.toy_endpoint(folder):
        app = create_app(Settings(database=database.url, project=folder, port=0), database, demo=True)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < end
            time.sleep(0.02)
        yield Demo(
            f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", folder, database, made
        )
        server.should_exit = True
        thread.join(10)
    database.close()


def test_there_is_a_campaign_of_every_kind_with_work_and_guidelines(running: Demo) -> None:
    assert {text.kind for text in TEXTS} == set(task_kinds.TASK_KINDS)
    with running.database.read() as connection:
        for one in campaigns.list_all(connection):
            guidelines = campaigns.get_guidelines(connection, one.id)
            assert one.state == "open" and guidelines is not None and 80 < len(guidelines.text) < 1200
            assert items.slot_counts(connection, [one.id])[one.id]["open"] >= 20
        assert events.verify(connection).problem is None
    assert len(running.judged("pairwise")) >= demo.BEFORE


@pytest.mark.parametrize("kind", task_kinds.TASK_KINDS)
def test_a_colleague_does_a_task_of_every_kind(running: Demo, kind: task_kinds.TaskKind) -> None:
    before = len(running.judged(kind))
    rater = raters.PANEL[0]
    rng = derive_rng(1, kind)
    with simulated_labeller.Colleague(
        running.origin, running.made.tokens[rater.name], rater, rng, threading.Event(), hurry=1000
    ) as one:
        for _ in range(5):  # a skip now and then
            assert one.one(kind)
            if one.num_done:
                break
    found = running.judged(kind)
    assert one.num_done == 1 and len(found) == before + 1 and found[-1].active_ms > 1000
    if kind == "chat":
        with running.database.read() as connection:
            turns = chats.list_turns(connection, found[-1].assignment_id)
        assert len(turns) == simulated_labeller.LIVE_TURNS and all(
            turn.choice and turn.answers[0].text for turn in turns
        )
        assert {answer.source for answer in turns[0].answers} == {
            "endpoint:toy/toy-base",
            "endpoint:toy/toy-tuned",
        }


def test_colleagues_work_side_by_side_and_stop(running: Demo) -> None:
    before = len(running.judged("pairwise"))
    with demo.colleagues(running.origin, running.made, hurry=200):
        end = time.monotonic() + 30
        while len(running.judged("pairwise")) < before + 5 and time.monotonic() < end:
            time.sleep(0.1)
    after = running.judged("pairwise")
    assert len(after) >= before + 5 and len({one.rater for one in after[before:]}) >= 2
    end = time.monotonic() + 30
    while [thread for thread in threading.enumerate() if thread.name.startswith("colleague")]:
        assert time.monotonic() < end, "somebody is still at work"
        time.sleep(0.1)


def test_the_link_lets_the_newcomer_in_once(running: Demo) -> None:
    with httpx.Client(base_url=running.origin, trust_env=False) as client:
        assert client.get(running.made.path).status_code == 200
        came = client.post(running.made.path, follow_redirects=True)
        assert came.status_code == 200
        assert "Which answer helps more" in client.get("/work").text
        assert client.get("/api/v1/me").json()["name"] == demo.NEWCOMER
    with httpx.Client(base_url=running.origin, trust_env=False) as other:
        assert other.get(running.made.path).status_code == 404


def test_a_folder_is_taken_up_again(running: Demo) -> None:
    with running.database.read() as connection:
        before = (len(campaigns.list_all(connection)), len(people.list_all(connection)))
    made = demo.populate(running.database)
    with running.database.read() as connection:
        assert (len(campaigns.list_all(connection)), len(people.list_all(connection))) == before
    assert made.path != running.made.path and made.tokens != running.made.tokens
    running.made = made


def test_the_endpoint_is_named_in_the_project_and_once(tmp_path: Path) -> None:
    folder = demo.prepare(tmp_path / "project")
    marker = folder / "fairlead.toml"
    before = marker.read_text()
    for _ in range(2):
        with demo.toy_endpoint(folder) as url:
            text = marker.read_text()
            assert (
                text.startswith(before.rstrip())
                and text.count("[studio.endpoints.toy]") == 1
                and f'url = "{url}"' in text
            )


def test_a_temporary_folder_is_a_project() -> None:
    folder = demo.prepare(None)
    assert (folder / "fairlead.toml").is_file() and Project(folder)


def test_the_toy_models_know_their_world_and_say_when_they_do_not() -> None:
    assert re.search(r"\b7\b", demo.reply("toy-tuned", "What is 3 plus 4?", 1))
    lost = demo.reply("toy-tuned", "Who are you?", 1)
    assert "very small world" in lost and world.parse_prompt(lost.partition("Try: ")[2]) is not None
    assert len({demo.reply("toy-base", "What is 3 plus 4?", n) for n in range(10)}) > 1


def test_a_colleague_prefers_what_is_right() -> None:
    rng = derive_rng(1, "colleague")
    steps = [
        simulated_labeller.compared(
            raters.PANEL[0], "What is 3 plus 4?", ["The answer is 7.", "Go away."], rng
        )[0]["choice"]
        for _ in range(20)
    ]
    assert sum(step <= 3 for step in steps) >= 18
