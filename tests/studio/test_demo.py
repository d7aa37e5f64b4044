"""The demo: a campaign of every kind, labellers who use the real HTTP API, and a link that signs in the owner."""

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
from fairlead.studio.demo import DemoContent
from fairlead.studio.demo_texts import CAMPAIGNS
from fairlead.studio.settings import Settings
from fairlead.studio.simulated_labeller import Pace, SimulatedLabeller


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


def test_there_is_a_campaign_of_every_kind_with_work_and_guidelines(running: Demo) -> None:
    assert {text.kind for text in CAMPAIGNS} == set(task_kinds.TASK_KINDS)
    with running.database.read() as connection:
        for one in campaigns.list_all(connection):
            guidelines = campaigns.get_guidelines(connection, one.id)
            assert one.state == "open" and guidelines is not None and 80 < len(guidelines.text) < 1200
            assert items.slot_counts(connection, [one.id])[one.id]["open"] >= 20
        assert events.verify(connection).problem is None
    assert len(running.judged("pairwise")) >= demo.NUM_PAST_COMPARISONS


@pytest.mark.parametrize("kind", task_kinds.TASK_KINDS)
def test_a_labeller_does_a_task_of_every_kind(running: Demo, kind: task_kinds.TaskKind) -> None:
    before = len(running.judged(kind))
    rater = raters.PANEL[0]
    rng = derive_rng(1, kind)
    pace = Pace(threading.Event(), speed=1000)
    token = running.content.tokens[rater.name]
    with SimulatedLabeller(running.origin, token, rater, rng, pace) as labeller:
        for _ in range(5):  # the labeller may skip some items
            assert labeller.label_item(kind)
            if labeller.num_done:
                break
    found = running.judged(kind)
    assert labeller.num_done == 1 and len(found) == before + 1 and found[-1].active_ms > 1000
    if kind == "chat":
        with running.database.read() as connection:
            turns = chats.list_turns(connection, found[-1].assignment_id)
        assert len(turns) == simulated_labeller.NUM_CHAT_TURNS and all(
            turn.choice and turn.answers[0].text for turn in turns
        )
        assert {answer.source for answer in turns[0].answers} == {
            "endpoint:toy/toy-base",
            "endpoint:toy/toy-tuned",
        }


def test_labellers_work_side_by_side_and_stop(running: Demo) -> None:
    before = len(running.judged("pairwise"))
    with demo.run_labellers(running.origin, running.content, speed=200):
        end = time.monotonic() + 30
        while len(running.judged("pairwise")) < before + 5 and time.monotonic() < end:
            time.sleep(0.1)
    after = running.judged("pairwise")
    assert len(after) >= before + 5 and len({one.rater for one in after[before:]}) >= 2
    end = time.monotonic() + 30
    while [thread for thread in threading.enumerate() if thread.name.startswith("labeller")]:
        assert time.monotonic() < end, "a labeller is still at work"
        time.sleep(0.1)


def test_the_link_signs_in_the_owner_once(running: Demo) -> None:
    with httpx.Client(base_url=running.origin, trust_env=False) as client:
        assert client.get(running.content.path).status_code == 200
        came = client.post(running.content.path, follow_redirects=True)
        assert came.status_code == 200
        assert "Which answer helps more" in client.get("/work").text
        assert client.get("/api/v1/me").json()["name"] == demo.OWNER_NAME
    with httpx.Client(base_url=running.origin, trust_env=False) as other:
        assert other.get(running.content.path).status_code == 404


def test_populating_again_adds_nothing(running: Demo) -> None:
    with running.database.read() as connection:
        before = (len(campaigns.list_all(connection)), len(people.list_all(connection)))
    content = demo.populate(running.database)
    with running.database.read() as connection:
        assert (len(campaigns.list_all(connection)), len(people.list_all(connection))) == before
    assert content.path != running.content.path and content.tokens != running.content.tokens
    running.content = content


def test_the_project_file_names_the_endpoint_once(tmp_path: Path) -> None:
    folder = demo.prepare_project(tmp_path / "project")
    marker = folder / "fairlead.toml"
    before = marker.read_text()
    for _ in range(2):
        with demo.serve_toy_models(folder) as url:
            text = marker.read_text()
            assert (
                text.startswith(before.rstrip())
                and text.count("[studio.endpoints.toy]") == 1
                and f'url = "{url}"' in text
            )


def test_a_temporary_folder_is_a_project() -> None:
    folder = demo.prepare_project(None)
    assert (folder / "fairlead.toml").is_file() and Project(folder)


def test_toy_models_answer_toy_prompts_and_reject_others() -> None:
    assert re.search(r"\b7\b", demo.reply("toy-tuned", "What is 3 plus 4?", 1))
    lost = demo.reply("toy-tuned", "Who are you?", 1)
    assert "very small world" in lost and world.parse_prompt(lost.partition("Try: ")[2]) is not None
    assert len({demo.reply("toy-base", "What is 3 plus 4?", n) for n in range(10)}) > 1


def test_a_labeller_prefers_the_correct_answer() -> None:
    rng = derive_rng(1, "colleague")
    steps = [
        simulated_labeller.compare(
            raters.PANEL[0], "What is 3 plus 4?", ["The answer is 7.", "Go away."], rng
        )[0]["choice"]
        for _ in range(20)
    ]
    assert sum(step <= 3 for step in steps) >= 18
