"""The commands of the studio's keeper: serve until Ctrl-C, let people in, look, verify, work, freeze."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.studio_database import add_judgements, database
from fairlead.core import jsonl
from fairlead.labels import campaigns, events, jobs, people, snapshot
from fairlead.labels.snapshot_filters import SnapshotFilters
from fairlead.store.project import load_project
from outcome import Cli

pytestmark = pytest.mark.slow  # real processes, or every route for every role

PASSWORD = "correct horse battery"


class Served:
    """A studio in a process of its own; its standard error is collected."""

    def __init__(self, home: Path, *more: str) -> None:
        words = [sys.executable, "-W", "error", "-m", "fairlead", "studio", *more, "--project", str(home)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stderr = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(30)
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@contextmanager
def served(home: Path, *more: str) -> Iterator[Served]:
    studio = Served(home, *more)
    try:
        yield studio
    finally:
        if studio.process.poll() is None:
            studio.process.kill()
            studio.stop()


# ---------------------------------------------------------------- serve


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_says_what_to_open_and_stops_when_asked(home: Path, number: int) -> None:
    with served(home, "serve", "--port", "0", "--log-requests") as studio:
        url = re.fullmatch(r"The studio is at (http://127\.0\.0\.1:\d+)", studio.line())
        assert url is not None and "become the owner" in studio.line()
        first = studio.line()
        assert first.startswith(f"{url[1]}/first/") and studio.line() == "Ctrl-C stops the studio."
        with httpx.Client() as client:
            owner = {"name": "Olga", "email": "olga@example.org", "password": PASSWORD, "agree": "true"}
            assert client.post(first, data=owner).status_code == 303
            csrf = client.get(f"{url[1]}/api/v1/me").json()["csrf"]
            token = client.post(
                f"{url[1]}/api/v1/me/tokens",
                json={"name": "x", "scopes": ["read"]},
                headers={"X-CSRF-Token": csrf},
            ).json()
            secrets = [
                first.rpartition("/")[2],
                token["token"],
                PASSWORD,
                csrf,
                client.cookies["fairlead_session"],
            ]
            assert client.get(f"{url[1]}/login?next=/hidden").status_code == 303
            assert client.get(f"{url[1]}/join/{token['token']}").status_code == 404
            with client.stream(
                "GET", f"{url[1]}/api/v1/events"
            ) as stream:  # somebody is watching while it stops
                next(stream.iter_lines())
                assert studio.stop(number) == 0
    assert studio.stderr.endswith("Stopped.\n") and "Traceback" not in studio.stderr
    assert "POST /first/{secret} 303" in studio.stderr and "POST /api/v1/me/tokens 201" in studio.stderr
    assert [secret for secret in [*secrets, "hidden", "olga"] if secret in studio.stderr] == []


def test_serving_again_knows_its_owner_and_needs_no_torch(home: Path) -> None:
    from_code = "import sys, fairlead.cli.app, fairlead.studio.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", from_code], check=False).returncode == 0
    with served(home, "serve", "--port", "0", "--session-days", "3", "--upload-mb", "7", "--json") as studio:
        ready = json.loads(studio.line())
        assert ready["first_url"].startswith(ready["url"])
        client = {
            "secret": ready["first_url"].rpartition("/")[2],
            "name": "O",
            "email": "o@example.org",
            "password": PASSWORD,
            "agree": True,
        }
        joined = httpx.post(f"{ready['url']}/api/v1/join", json=client)
        assert joined.status_code == 200 and "Max-Age=259200" in joined.headers["set-cookie"]
        assert "up to 7 MiB" in httpx.get(f"{ready['url']}/new", cookies=joined.cookies).text
        assert studio.stop() == 0
    with served(
        home, "serve", "--port", "0", "--json", "--public-url", "https://labels.example.org"
    ) as studio:
        ready = json.loads(studio.line())
        assert (ready["url"], ready["first_url"]) == ("https://labels.example.org", None)
        assert studio.stop() == 0


def test_the_demo_takes_you_in_with_one_click_and_colleagues_work(home: Path) -> None:
    with served(home, "serve", "--port", "0", "--json", "--demo") as studio:
        ready = json.loads(studio.line())
        with httpx.Client(follow_redirects=True, timeout=30) as client:
            assert "one click" in client.get(ready["first_url"]).text
            page = client.post(ready["first_url"])
            assert page.status_code == 200 and "Demo" in page.text
            before, until = last_event(home), time.monotonic() + 90
            while last_event(home) == before and time.monotonic() < until:
                time.sleep(0.5)
            assert last_event(home) > before, "nobody labels"
        assert studio.stop() == 0
    assert "Traceback" not in studio.stderr


def test_two_models_of_the_project_answer_in_a_live_chat(project: Path, cli: Cli, tmp_path: Path) -> None:
    """From an empty studio to comparisons for training, over HTTP, with a process for each model."""
    kept = str(tmp_path / "studio.db")
    with served(project, "serve", "--port", "0", "--json", "--database", kept) as studio:
        ready = json.loads(studio.line())
        with httpx.Client(base_url=f"{ready['url']}/api/v1", timeout=60) as client:
            join = {
                "secret": ready["first_url"].rpartition("/")[2],
                "name": "O",
                "email": "o@example.org",
                "password": PASSWORD,
            }
            assert client.post("/join", json={**join, "agree": True}).status_code == 200
            client.headers["X-CSRF-Token"] = client.get("/me").json()["csrf"]

            def ask(method: str, path: str, **body: Any) -> Any:
                key = {"Idempotency-Key": "live-chat"} if path.endswith("/judgement") else {}
                answer = client.request(method, path, json=body, headers=key)
                assert answer.is_success, answer.text
                return answer.json()

            ask("POST", "/campaigns", name="Talk", kind="chat")
            assert {"base", "sft"} <= set(client.get("/campaigns/talk/answerers").json()["models"])
            who = [{"source": f"model:{name}", "max_tokens": 12} for name in ("base", "sft")]
            ask("PUT", "/campaigns/talk/answerers", answerers=who)
            ask(
                "POST",
                "/campaigns/talk/items",
                items=[{"prompt": [{"role": "user", "content": "Say something."}]}],
            )
            ask("POST", "/campaigns/talk/state", state="open")
            [task] = ask("POST", "/campaigns/talk/next")["assignments"]
            talk = f"/campaigns/talk/tasks/{task['token']}"
            for n, choice in enumerate((2, 7)):
                ask("POST", f"{talk}/chat/turns", n=n, message=f"Question {n}?")
                lines = client.get(f"{talk}/chat/turns/{n}/stream").text.splitlines()
                heard = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
                assert {event["letter"] for event in heard if "html" in event} == {"A", "B"} and heard[
                    -1
                ] == {"end": True}, heard
                ask("PUT", f"{talk}/chat/turns/{n}/choice", choice=choice)
            ask("POST", f"{talk}/judgement", value={})
            turns = client.get(f"{talk}/chat").json()["turns"]
        assert studio.stop() == 0
    assert "Traceback" not in studio.stderr
    snapshot_result = cli(
        "studio", "snapshot", "talk", "--name", "talk", "--project", project, "--database", kept, "--json"
    ).json
    assert snapshot_result["counts"]["files"] == {"comparisons": 2}
    first, second = (
        row for _, row in jsonl.read(project / "artifacts" / "snapshot" / "talk" / "comparisons.jsonl")
    )
    a, b = (answer["answer"]["text"] for answer in turns[0]["answers"])
    assert (first["chosen"][0]["content"], first["rejected"][0]["content"]) == (a, b)
    assert [turn["content"] for turn in second["prompt"]] == ["Question 0?", a, "Question 1?"]
    assert set(first["sources"].values()) == {"model:base", "model:sft"}
    assert cli("data", "check", project / "artifacts" / "snapshot" / "talk" / "comparisons.jsonl").code == 0


def last_event(home: Path) -> int:
    with database(home) as opened, opened.read() as connection:
        return events.last_seq(connection)


def test_a_port_that_is_taken_is_said(home: Path, cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = cli("studio", "serve", "--port", taken.getsockname()[1], "--project", home)
    assert result.code == 1 and "cannot listen on 127.0.0.1" in result.err and "--port" in result.err


def test_single_sign_on_without_its_secret_is_said(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAIRLEAD_OIDC_SECRET", raising=False)
    with (home / "fairlead.toml").open("a") as file:
        file.write('[studio.oidc]\nissuer = "https://login.example.org"\nclient_id = "studio"\n')
    result = cli("studio", "serve", "--port", "0", "--project", home)
    assert result.code == 1 and "FAIRLEAD_OIDC_SECRET" in result.err


def test_what_is_no_project_or_no_database_is_said(tmp_path: Path, cli: Cli, home: Path) -> None:
    assert "fairlead init" in cli("studio", "serve", "--project", tmp_path).err
    result = cli("studio", "status", "--database", "mysql://ada:hunter2@host/studio")
    assert result.code == 1 and "not supported" in result.err and "hunter2" not in result.err
    result = cli("studio", "status", "--database", tmp_path / "nowhere" / "studio.db")
    assert result.code == 1 and "is not a folder" in result.err


# ---------------------------------------------------------------- people and state


def test_somebody_is_added_and_added_again(home: Path, cli: Cli) -> None:
    first = cli(
        "studio",
        "user",
        "add",
        "Ada",
        "--email",
        "ada@example.org",
        "--role",
        "lead",
        "--project",
        home,
        "--json",
    ).json
    assert first["url"].startswith("http://127.0.0.1:8400/join/") and first["known"] is False
    again = cli(
        "studio",
        "user",
        "add",
        "Ada",
        "--email",
        "ADA@example.org",
        "--role",
        "owner",
        "--project",
        home,
        "--json",
    ).json
    assert (again["rater"], again["known"]) == (first["rater"], True) and again["url"] != first["url"]
    with database(home) as opened, opened.read() as connection:
        assert [(person.name, person.role) for person in people.list_all(connection)] == [("Ada", "owner")]
    result = cli("studio", "user", "add", "Ben", "--campaign", "helpful", "--project", home)
    assert result.code == 1 and "no campaign 'helpful'" in result.err
    with database(home) as opened, opened.write() as connection:
        campaigns.create(connection, campaigns.CampaignSettings(name="Helpful", kind="pairwise"), by="system")
    added = cli("studio", "user", "add", "Ben", "--campaign", "helpful", "--project", home).out
    assert "This link lets them in" in added and "with --public-url" in added
    with database(home) as opened, opened.write() as connection:
        [ben] = [person for person in people.list_all(connection) if person.name == "Ben"]
        people.change(connection, ben, email="boss@example.org")  # his own word
    refused = cli(
        "studio", "user", "add", "Boss", "--email", "boss@example.org", "--role", "owner", "--project", home
    )
    assert refused.code == 1 and f"Ben ({ben.rater}) entered this address themselves" in refused.err
    elsewhere = ("--public-url", "https://labels.example.org")
    added = cli(
        "studio", "user", "add", "Boss", "--email", "boss@example.org", *elsewhere, "--project", home
    ).out
    assert (
        "Ben is already a user" in added
        and "https://labels.example.org/join/" in added
        and "with --public-url" not in added
    )
    result = cli("studio", "status", "--project", home)
    assert "2 people, 1 owner." in result.out and "helpful" in result.out
    facts = cli("studio", "status", "--project", home, "--json").json
    assert facts["num_people"] == 2 and facts["campaigns"] == [
        {"slug": "helpful", "name": "Helpful", "kind": "pairwise", "state": "draft"}
    ]


def test_a_changed_event_is_found(home: Path, cli: Cli) -> None:
    for name in ("Ada", "Ben"):
        assert cli("studio", "user", "add", name, "--project", home).code == 0
    result = cli("studio", "verify", "--project", home)
    assert result.code == 0 and "All 4 events are unchanged" in result.out
    with sqlite3.connect(home / "studio.db") as raw:
        raw.execute("UPDATE event SET actor = 'r-0000000000' WHERE seq = 3")
    raw.close()
    result = cli("studio", "verify", "--project", home)
    assert (
        result.code == 3
        and "event 3 was changed after it was written. 2 earlier events verified." in result.err
    )


# ---------------------------------------------------------------- workers


def test_a_worker_does_what_waits_and_stops_when_asked(home: Path, cli: Cli) -> None:
    assert cli("studio", "status", "--project", home).code == 0
    add_judgements(home)
    with database(home) as opened:
        with opened.write() as connection:
            campaign = campaigns.get(connection, "helpful-pairwise")
            number = snapshot.enqueue(
                connection, load_project(home), campaign, "later", SnapshotFilters(), by="system"
            )
        with served(home, "worker") as worker:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                with opened.read() as connection:
                    if jobs.get(connection, number).is_over:
                        break
                time.sleep(0.1)
            assert worker.stop() == 0
        with opened.read() as connection:
            assert jobs.get(connection, number).state == "done"
    assert worker.stderr.endswith("Stopped.\n") and os.path.exists(home / "artifacts" / "snapshot" / "later")


def test_an_answer_does_not_wait_for_the_first_half_of_it_to_be_confirmed(home: Path) -> None:
    """On a connection that is kept, a server that gathers what it sends needs 40 ms more for each answer."""
    with served(home, "serve", "--json", "--port", "0") as studio:
        with httpx.Client(base_url=json.loads(studio.line())["url"]) as client:
            client.get("/static/studio.css")
            times = []
            for _ in range(20):
                begun = time.perf_counter()
                client.get("/static/studio.css")
                times.append(time.perf_counter() - begun)
        assert studio.stop() == 0
    assert min(times) < 0.03
