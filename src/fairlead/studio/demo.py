"""The demo studio: a campaign of every kind over the toy world, and simulated labellers at work.

    folder = demo.prepare_project(folder_or_none)          # a project; a temporary folder when None
    with demo.serve_toy_models(folder):                    # two models for the live chat, without torch
        demo_content = demo.populate(database)             # campaigns, people, an invite link
        # when the server accepts requests:
        with demo.run_labellers(settings.origin, demo_content):      # until the block ends
            print(settings.origin + demo_content.path)     # a link that works once and signs in as an owner

The database must be migrated (`schema.upgrade`).  `populate` adds only what is missing.
The labellers use the HTTP API like any client with a token.
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
from fairlead.labels import campaigns, chats, credentials, items, judgements, leases, members, people
from fairlead.labels.campaigns import Campaign, CampaignSettings
from fairlead.labels.chats import Answerer
from fairlead.labels.database import Database, now
from fairlead.labels.items import CandidateAnswer, NewItem
from fairlead.labels.judgements import NewJudgement
from fairlead.labels.people import Person
from fairlead.simulate import answer_writer, raters, world
from fairlead.simulate.answer_writer import AnswerStyle
from fairlead.store.project import PROJECT_FILE, create_project
from fairlead.studio.demo_texts import CAMPAIGNS, DemoCampaign
from fairlead.studio.simulated_labeller import Pace, SimulatedLabeller, compare

SEED = 20
OWNER_NAME = "You"
MODELS: dict[str, AnswerStyle] = {"toy-base": answer_writer.WILD, "toy-tuned": answer_writer.CAREFUL}
NUM_PAST_COMPARISONS = 40  # comparisons made before the demo starts
WORD_S = 0.05  # between two words of a chat answer
ENDPOINT = "toy"

# Two pairs with formulas, code and tables; answers of the toy world are plain sentences.
FORMATTED_PAIRS: tuple[tuple[str, str, str], ...] = (
    (
        "How do I find the roots of $x^2 - 5x + 6 = 0$?",
        "Use the formula\n\n$$x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}$$\n\n"
        "With $a = 1$, $b = -5$ and $c = 6$ it gives $x = 2$ and $x = 3$.",
        "**Factor it:** the numbers 2 and 3 have the product 6 and the sum 5, so\n\n"
        "$$x^2 - 5x + 6 = (x - 2)(x - 3)$$\n\nand the roots are $2$ and $3$.",
    ),
    (
        "Reverse a list in Python, please.",
        "```python\nitems = [3, 1, 2]\nitems.reverse()      # changes the list itself\n```",
        "There are two ways:\n\n| | changes the list | returns |\n|---|---|---|\n"
        "| `items.reverse()` | yes | nothing |\n| `items[::-1]` | no | a new list |\n\n"
        "```python\nprint([3, 1, 2][::-1])  # [2, 1, 3]\n```",
    ),
)


@dataclass(frozen=True)
class DemoContent:
    path: str  # of the link that signs in as the owner
    tokens: dict[str, str]  # name of a simulated labeller -> API token


def prepare_project(folder: Path | None) -> Path:
    """Create the project to serve, unless the folder is a project already."""
    root = Path(tempfile.mkdtemp(prefix="fairlead-demo-")) if folder is None else folder
    if not (root / PROJECT_FILE).exists():
        create_project(root)
    return root


def populate(database: Database) -> DemoContent:
    time = now()
    with database.write() as connection:
        by_name = {person.name: person for person in people.list_all(connection)}
        owner = by_name.get(OWNER_NAME) or people.add(connection, name=OWNER_NAME, role="owner")
        panel = {
            rater.name: by_name.get(rater.name) or people.add(connection, name=rater.name, by=owner.rater)
            for rater in raters.PANEL
        }
        existing = {campaign.name for campaign in campaigns.list_all(connection)}
        for text in CAMPAIGNS:
            if text.name not in existing:
                _create_campaign(connection, text, owner, panel)
        tokens = {name: _replace_token(connection, labeller, time) for name, labeller in panel.items()}
        _, secret = credentials.create_invite(
            connection, role=None, person_id=owner.id, days=1, by=owner.rater, at=time
        )
    return DemoContent(f"/join/{secret}", tokens)


@contextmanager
def run_labellers(origin: str, content: DemoContent, *, speed: float = 1.0) -> Iterator[None]:
    """Run every simulated labeller in its own thread, `speed` times as fast as people."""
    pace = Pace(threading.Event(), speed)
    kinds = [text.kind for text in CAMPAIGNS]
    threads = []
    for n, rater in enumerate(raters.PANEL):
        rng = derive_rng(SEED, "colleague", rater.name, n)
        labeller = SimulatedLabeller(origin, content.tokens[rater.name], rater, rng, pace)
        threads.append(
            threading.Thread(target=labeller.work, args=(kinds,), daemon=True, name=f"labeller {rater.name}")
        )
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        pace.stop.set()
        for thread in threads:
            thread.join(5)


# ---------------------------------------------------------------- campaigns


def _create_campaign(
    connection: Connection, text: DemoCampaign, owner: Person, panel: dict[str, Person]
) -> None:
    settings = CampaignSettings(
        name=text.name,
        kind=text.kind,
        options=text.options,
        overlap=text.overlap,
        pay_per_hour=18.0,
        audience=text.audience,
        guidelines=text.guidelines,
        seed=f"demo-{text.kind}",
    )
    campaign = campaigns.create(connection, settings, by=owner.rater)
    items.add(connection, campaign, [*_formatted_items(text), *_toy_items(text)], by=owner.rater)
    if text.kind == "chat":
        params = {"temperature": 1.0, "max_tokens": 200}
        answerers = [Answerer(f"endpoint:{ENDPOINT}/{name}", params) for name in MODELS]
        chats.set_answerers(connection, campaign, answerers, by=owner.rater)
    for labeller in panel.values():
        members.join(connection, labeller, campaign.id, "labeller", by=owner.rater)
    campaign = campaigns.set_state(connection, campaign, "open", by=owner.rater)
    members.join(connection, owner, campaign.id, "lead", by=owner.rater)
    if text.kind == "pairwise":
        _add_past_comparisons(connection, campaign, panel)


def _replace_token(connection: Connection, labeller: Person, time: str) -> str:
    for token in credentials.list_tokens(connection, labeller):
        credentials.revoke_token(connection, labeller, token.id)
    _, secret = credentials.create_token(
        connection, labeller, name="simulated labeller", scopes=("read", "label"), days=1, at=time
    )
    return secret


def _formatted_items(text: DemoCampaign) -> list[NewItem]:
    """The first items of a pairwise campaign: they show how Markdown is rendered."""
    if text.kind != "pairwise":
        return []
    return [
        NewItem(
            (Message("user", prompt),),
            (_answer(first, "toy-base"), _answer(second, "toy-tuned")),
            tags=("shown",),
            priority=50,
        )
        for prompt, first, second in FORMATTED_PAIRS
    ]


def _toy_items(text: DemoCampaign) -> Iterator[NewItem]:
    rng = derive_rng(SEED, "demo", text.kind)
    num_answers = {"pairwise": 2, "ranking": 4}.get(text.kind, 1)
    for task in world.draw_prompts(SEED, f"demo-{text.kind}", text.num_items, held_out=True):
        prompt = Message("user", task.text)
        tags = (task.family,)
        if text.kind == "conversation":
            first_answer = Message("assistant", answer_writer.write_answer(task, answer_writer.WILD, rng))
            follow_up = world.draw_prompt(rng)
            second_answer = Message(
                "assistant", answer_writer.write_answer(follow_up, answer_writer.CAREFUL, rng)
            )
            turns = (prompt, first_answer, Message("user", follow_up.text), second_answer)
            yield NewItem(turns, tags=tags)
        elif text.kind in ("demonstration", "chat"):
            yield NewItem((prompt,), tags=tags)
        else:
            yield NewItem((prompt,), tuple(_distinct_answers(task, num_answers, rng)), tags=tags)


def _distinct_answers(task: world.ToyPrompt, count: int, rng: Random) -> list[CandidateAnswer]:
    """Answers with different texts, from both models in turn."""
    by_text: dict[str, CandidateAnswer] = {}
    names = list(MODELS)
    while len(by_text) < count:
        name = names[len(by_text) % len(names)]
        text = answer_writer.write_answer(task, MODELS[name], rng)
        by_text.setdefault(text, _answer(text, name))
    return list(by_text.values())


def _answer(text: str, source: str) -> CandidateAnswer:
    return CandidateAnswer((Message("assistant", text),), source=source, finished=True)


def _add_past_comparisons(connection: Connection, campaign: Campaign, panel: dict[str, Person]) -> None:
    """Comparisons of the last two hours, so that the dashboard has figures to show."""
    rng = derive_rng(SEED, "before")
    started = datetime.now(UTC) - timedelta(hours=2)
    for n in range(NUM_PAST_COMPARISONS):
        rater = raters.PANEL[n % len(raters.PANEL)]
        leased_at = started + timedelta(seconds=n * 7000 / NUM_PAST_COMPARISONS)
        [assignment] = leases.lease_items(connection, campaign, panel[rater.name].rater, at=leased_at)
        seconds = rng.uniform(12, 55)
        item = assignment.item
        texts = [item.answers[index].messages[0].content for index in assignment.order]
        value, reasons = compare(rater, item.prompt[-1].content, texts, rng)
        judgement = NewJudgement(
            key=f"before-{n:04}", value=value, reasons=reasons, active_ms=round(seconds * 1000)
        )
        judged_at = leased_at + timedelta(seconds=seconds)
        judgements.submit(connection, assignment.id, assignment.rater, judgement, at=judged_at)


# ---------------------------------------------------------------- models without torch


@contextmanager
def serve_toy_models(folder: Path) -> Iterator[str]:
    """Run an OpenAI-compatible server on a free port, and add it to the project's fairlead.toml.

    Yields its URL.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ToyModelHandler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    project_file = folder / PROJECT_FILE
    content = project_file.read_text("utf-8").split(_TABLE)[0].rstrip()
    files.write_text(project_file, f'{content}\n\n{_TABLE}\nurl = "{url}"\n')
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="toy models")
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


_TABLE = f"[studio.endpoints.{ENDPOINT}]"  # always the last table of the file
UNKNOWN_PROMPT = "I live in a very small world and did not understand. Try: {prompt}"


def reply(model: str, message: str, seed: int) -> str:
    """The answer of a toy model to a message."""
    rng = derive_rng(SEED, "reply", model, message, seed)
    task = world.parse_prompt(message)
    if task is None:
        return UNKNOWN_PROMPT.format(prompt=world.draw_prompt(rng).text)
    style = MODELS.get(model, answer_writer.CAREFUL)
    return answer_writer.write_answer(task, replace(style, flourish=min(1.0, style.flourish * 2)), rng)


class _ToyModelHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        message = str(request["messages"][-1]["content"])
        answer = reply(str(request["model"]), message, int(request.get("seed", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        pause = threading.Event()
        for word in answer.split(" "):
            self._send({"choices": [{"delta": {"content": word + " "}, "finish_reason": None}]})
            pause.wait(WORD_S)
        self._send({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass
