"""The demo: a campaign of every kind, labellers who use the real HTTP API, and a link that signs in the
owner.
"""

import re
from pathlib import Path

import httpx

from fairlead.labels import campaigns, events, items, people, task_kinds
from fairlead.simulate import world
from fairlead.store.project import Project
from fairlead.studio import demo
from fairlead.studio.demo_texts import CAMPAIGNS
from studio.running_demo import Demo


def test_there_is_a_campaign_of_every_kind_with_work_and_guidelines(running: Demo) -> None:
    assert {text.kind for text in CAMPAIGNS} == set(task_kinds.TASK_KINDS)
    with running.database.read() as connection:
        for one in campaigns.list_all(connection):
            guidelines = campaigns.get_guidelines(connection, one.id)
            assert one.state == "open" and guidelines is not None and 80 < len(guidelines.text) < 1200
            assert items.slot_counts(connection, [one.id])[one.id]["open"] >= 20
        assert events.verify(connection).problem is None
    assert len(running.judged("pairwise")) >= demo.NUM_PAST_COMPARISONS


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
