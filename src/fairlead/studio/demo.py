"""The demo: campaigns of every kind over the toy world, and simulated colleagues who label while you look.

    folder = demo.prepare(given_folder_or_none)                  a project; a temporary one without a folder
    with demo.toy_endpoint(folder):                           two models of the toy world for the live chat, without torch
        made = demo.populate(database)                           campaigns, people, a link; what is there already stays
        # when the server can be reached:
        with demo.colleagues(settings.origin, made):             until the block ends
            print(settings.origin + made.path)                   opens once, and logs in as the owner who is new here

`database` has its tables already (`schema.upgrade`).  The colleagues work through the HTTP API, as anybody with a token can.
"""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection

from fairlead.core import files
from fairlead.core.seed import derive_rng
from fairlead.data.records import Message
from fairlead.labels import access, campaigns, chats, items, judgements, leases, members, people
from fairlead.labels.campaigns import Campaign
from fairlead.labels.chats import Answerer
from fairlead.labels.database import Database, now
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.people import Person
from fairlead.simulate import raters, world
from fairlead.simulate.world import AnswerStyle
from fairlead.store.project import PROJECT_FILE, create_project
from fairlead.studio import simulated_labeller
from fairlead.studio.demo_texts import TEXTS, Text

SEED = 20
NEWCOMER = "You"
MODELS: dict[str, AnswerStyle] = {"toy-base": world.WILD, "toy-tuned": world.CAREFUL}
BEFORE = 40  # comparisons that colleagues made before you came
WORD_S = 0.05  # between two words of a live answer
ENDPOINT = "toy"

# Two pairs that show what answers can look like; the toy world speaks in plain sentences.
SHOWN: tuple[tuple[str, str, str], ...] = (
    (
        "How do I find the roots of $x^2 - 5x + 6 = 0$?",
        "Use the formula\n\n$$x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}$$\n\n"
        "With $a = 1$, $b = -5$ and $c = 6$ it gives $x = 2$ and $x = 3$.",
        "**Factor it:** two numbers with the product 6 and the sum 5 are 2 and 3, so\n\n$$x^2 - 5x + 6 = (x - 2)(x - 3)$$\n\n"
        "and the roots are $2$ and $3$.",
    ),
    (
        "Reverse a list in Python, please.",
        "```python\nitems = [3, 1, 2]\nitems.reverse()      # changes the list itself\n```",
        "There are two ways:\n\n| | changes the list | gives |\n|---|---|---|\n| `items.reverse()` | yes | nothing |\n"
        "| `items[::-1]` | no | a new list |\n\n```python\nprint([3, 1, 2][::-1])  # [2, 1, 3]\n```",
    ),
)


@dataclass(frozen=True)
class Populated:
    """`path` is that of the link; `tokens` are the colleagues' own."""

    path: str
    tokens: dict[str, str]


def prepare(folder: Path | None) -> Path:
    """A project to serve; one that is there already is used as it is."""
    root = Path(tempfile.mkdtemp(prefix="fairlead-demo-")) if folder is None else folder
    if not (root / PROJECT_FILE).exists():
        create_project(root)
    return root


def populate(database: Database) -> Populated:
    at = now()
    with database.write() as connection:
        known = {one.name: one for one in people.list_all(connection)}
        you = known.get(NEWCOMER) or people.add(connection, name=NEWCOMER, role="owner")
        panel = {
            rater.name: known.get(rater.name) or people.add(connection, name=rater.name, by=you.rater)
            for rater in raters.PANEL
        }
        there = {one.name for one in campaigns.list_all(connection)}
        for text in TEXTS:
            if text.name not in there:
                _make(connection, text, you, panel)
        tokens = {}
        for name, one in panel.items():
            for old in access.list_tokens(connection, one):
                access.revoke_token(connection, one, old.id)
            tokens[name] = access.create_token(
                connection, one, name="simulated colleague", scopes=("read", "label"), days=1, at=at
            )[1]
        _, secret = access.create_invite(connection, role=None, person_id=you.id, days=1, by=you.rater, at=at)
    return Populated(f"/join/{secret}", tokens)


@contextmanager
def colleagues(origin: str, made: Populated, *, hurry: float = 1.0) -> Iterator[None]:
    """All of them at work, each in a thread of their own; `hurry` times as fast as people."""
    stop = threading.Event()
    threads = []
    for n, rater in enumerate(raters.PANEL):
        one = simulated_labeller.Colleague(
            origin, made.tokens[rater.name], rater, derive_rng(SEED, "colleague", rater.name, n), stop, hurry
        )
        threads.append(
            threading.Thread(
                target=one.work,
                args=([text.kind for text in TEXTS],),
                daemon=True,
                name=f"colleague {rater.name}",
            )
        )
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)


# ---------------------------------------------------------------- campaigns


def _make(connection: Connection, text: Text, you: Person, panel: dict[str, Person]) -> None:
    made = campaigns.create(connection, campaigns.CampaignSettings(name=text.name, kind=text.kind, options=text.options, overlap=text.overlap, pay_per_hour=18.0, audience=text.audience, guidelines=text.guidelines, seed=f"demo-{text.kind}"), by=you.rater)  # fmt: skip
    items.add(connection, made, [*_shown(text), *_items(text)], by=you.rater)
    if text.kind == "chat":
        chosen = [
            Answerer(f"endpoint:{ENDPOINT}/{name}", {"temperature": 1.0, "max_tokens": 200})
            for name in MODELS
        ]
        chats.set_answerers(connection, made, chosen, by=you.rater)
    for one in panel.values():
        members.join(connection, one, made.id, "labeller", by=you.rater)
    made = campaigns.set_state(connection, made, "open", by=you.rater)
    members.join(connection, you, made.id, "lead", by=you.rater)
    if text.kind == "pairwise":
        _before(connection, made, panel)


def _shown(text: Text) -> list[NewItem]:
    """What the first tasks look like, where two answers are compared."""
    if text.kind != "pairwise":
        return []
    return [
        NewItem(
            (Message("user", prompt),),
            (_answer(first, "toy-base"), _answer(second, "toy-tuned")),
            tags=("shown",),
            priority=50,
        )
        for prompt, first, second in SHOWN
    ]


def _items(text: Text) -> Iterator[NewItem]:
    rng = derive_rng(SEED, "demo", text.kind)
    for task in world.draw_prompts(SEED, f"demo-{text.kind}", text.num_items, held_out=True):
        prompt, tags = (Message("user", task.prompt),), (task.family,)
        if text.kind == "conversation":
            turns = [*prompt, Message("assistant", world.write_answer(task, world.WILD, rng))]
            other = world.draw_prompt(rng)
            turns += [
                Message("user", other.prompt),
                Message("assistant", world.write_answer(other, world.CAREFUL, rng)),
            ]
            yield NewItem(tuple(turns), tags=tags)
        elif text.kind in ("demonstration", "chat"):
            yield NewItem(prompt, tags=tags)
        else:
            yield NewItem(
                prompt, tuple(_answers(task, {"pairwise": 2, "ranking": 4}.get(text.kind, 1), rng)), tags=tags
            )


def _answers(task: world.ToyPrompt, count: int, rng: Random) -> list[CandidateAnswer]:
    """Different ones, of both models in turn."""
    found: dict[str, CandidateAnswer] = {}
    names = list(MODELS)
    while len(found) < count:
        name = names[len(found) % len(names)]
        text = world.write_answer(task, MODELS[name], rng)
        found.setdefault(text, _answer(text, name))
    return list(found.values())


def _answer(text: str, source: str) -> CandidateAnswer:
    return CandidateAnswer((Message("assistant", text),), source=source, finished=True)


def _before(connection: Connection, made: Campaign, panel: dict[str, Person]) -> None:
    """Some comparisons of the last two hours, so that the figures have something to say."""
    rng = derive_rng(SEED, "before")
    begun = datetime.now(UTC) - timedelta(hours=2)
    for n in range(BEFORE):
        rater = raters.PANEL[n % len(raters.PANEL)]
        at = begun + timedelta(seconds=n * 7000 / BEFORE)
        [task] = leases.lease_items(connection, made, panel[rater.name].rater, at=at)
        seconds = rng.uniform(12, 55)
        texts = [task.item.answers[candidate].messages[0].content for candidate in task.order]
        value, reasons = simulated_labeller.compared(rater, task.item.prompt[-1].content, texts, rng)
        judgements.submit(connection, task.id, task.rater, judgements.NewJudgement(key=f"before-{n:04}", value=value, reasons=reasons, active_ms=round(seconds * 1000)), at=at + timedelta(seconds=seconds))  # fmt: skip


# ---------------------------------------------------------------- models without torch


@contextmanager
def toy_endpoint(folder: Path) -> Iterator[str]:
    """An OpenAI-compatible server on a free port, which the project's fairlead.toml names; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ToyModels)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    marker = folder / PROJECT_FILE
    kept = marker.read_text("utf-8").split(_TABLE)[0].rstrip()
    files.write_text(marker, f'{kept}\n\n{_TABLE}\nurl = "{url}"\n')
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="toy models")
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


_TABLE = f"[studio.endpoints.{ENDPOINT}]"  # always the last of the file
LOST = "I live in a very small world and did not understand. Try: {prompt}"


def reply(model: str, message: str, number: int) -> str:
    """What a model of the toy world says to a message."""
    rng = derive_rng(SEED, "reply", model, message, number)
    task = world.parse_prompt(message)
    if task is None:
        return LOST.format(prompt=world.draw_prompt(rng).prompt)
    manner = MODELS.get(model, world.CAREFUL)
    return world.write_answer(task, replace(manner, flourish=min(1.0, manner.flourish * 2)), rng)


class _ToyModels(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        wait = threading.Event()
        for word in reply(
            str(asked["model"]), str(asked["messages"][-1]["content"]), int(asked.get("seed", 0))
        ).split(" "):
            self._say({"choices": [{"delta": {"content": word + " "}, "finish_reason": None}]})
            wait.wait(WORD_S)
        self._say({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, content: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass
