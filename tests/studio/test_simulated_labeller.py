"""Simulated labellers, who work through the HTTP API."""

import json
import threading
import time
from typing import Any

import httpx
import pytest

from fairlead.core.seed import derive_rng
from fairlead.labels import campaigns, chats, items, task_kinds
from fairlead.simulate import raters
from fairlead.studio import demo, simulated_labeller
from fairlead.studio.demo_texts import CAMPAIGNS
from fairlead.studio.simulated_labeller import Pace, SimulatedLabeller
from studio.running_demo import Demo


def body_of(request: httpx.Request) -> dict[str, Any]:
    return json.loads(request.content) if request.content else {}


@pytest.mark.parametrize("kind", task_kinds.TASK_KINDS)
def test_a_labeller_does_a_task_of_every_kind(running: Demo, kind: task_kinds.TaskKind) -> None:
    before = len(running.judged(kind))
    rater = raters.PANEL[0]
    rng = derive_rng(1, kind)
    pace = Pace(threading.Event(), speed=1000)
    token = running.content.tokens[rater.name]
    reported: list[dict[str, Any]] = []
    with SimulatedLabeller(running.origin, token, rater, rng, pace) as labeller:
        labeller._client.event_hooks["request"] = [lambda request: reported.append(body_of(request))]
        for _ in range(5):  # the labeller may skip some items
            assert labeller.label_item(kind)
            if labeller.num_done:
                break
    found = running.judged(kind)
    assert labeller.num_done == 1 and len(found) == before + 1
    # The labeller reports the time of a person, and the server bounds it by the time that passed.
    assert reported[-1]["active_ms"] > 1000
    assert 0 < found[-1].active_ms < reported[-1]["active_ms"] and found[-1].implausible
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


def test_labellers_leave_work_to_whoever_tries_the_demo(running: Demo) -> None:
    """A demo lasts a working day: breaks between tasks, and a part of each campaign is left."""
    pace = Pace(threading.Event(), speed=100_000)
    token = running.content.tokens[raters.PANEL[0].name]
    rng = derive_rng(1, "colleague")
    with SimulatedLabeller(running.origin, token, raters.PANEL[0], rng, pace) as labeller:
        while labeller.label_item("edit"):
            pass
    with running.database.read() as connection:
        [campaign] = [one for one in campaigns.list_all(connection) if one.kind == "edit"]
        slots = items.slot_counts(connection, [campaign.id])[campaign.id]
    left = slots["open"] / sum(slots.values())
    assert 0 < left <= simulated_labeller.LEFT_FRAC and slots["done"] > 10
    num_wanted = sum(text.num_items * text.overlap for text in CAMPAIGNS)
    seconds_each = sum(simulated_labeller.BREAK_S) / 2
    hours = num_wanted * (1 - simulated_labeller.LEFT_FRAC) * seconds_each / len(raters.PANEL) / 3600
    assert hours > 5


def test_a_labeller_prefers_the_correct_answer() -> None:
    rng = derive_rng(1, "colleague")
    steps = [
        simulated_labeller.compare(
            raters.PANEL[0], "What is 3 plus 4?", ["The answer is 7.", "Go away."], rng
        )[0]["choice"]
        for _ in range(20)
    ]
    assert sum(step <= 3 for step in steps) >= 18
