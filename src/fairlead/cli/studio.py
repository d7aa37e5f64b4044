"""`fairlead studio`: the web application where people give feedback, and what its keeper does beside it."""

import logging
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.core.errors import GateRefused

if TYPE_CHECKING:
    from fastapi import APIRouter

    from fairlead.labels.database import Database
    from fairlead.labels.jobs import Job
    from fairlead.studio.settings import Settings

SELF = "system"
DATABASE = "FAIRLEAD_DATABASE"

app = typer.Typer(help="Collect people's feedback in the browser.", no_args_is_help=True)
user = typer.Typer(help="Let people into the studio.", no_args_is_help=True)
app.add_typer(user, name="user")

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="FILE|URL",
        envvar=DATABASE,
        help="A SQLite file, or postgresql://USER:PASSWORD@HOST/NAME; otherwise studio.db in the project.",
    ),
]
PublicUrl = Annotated[
    str | None,
    typer.Option("--public-url", metavar="URL", help="What people open, where a proxy stands in front."),
]


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8400,
    database: DatabaseUrl = None,
    public_url: PublicUrl = None,
    trusted_proxies: Annotated[
        str,
        typer.Option(
            metavar="IPS",
            help="Proxies whose word about a client's address is taken, with commas between; * for all.",
        ),
    ] = "127.0.0.1",
    session_days: Annotated[
        int, typer.Option(min=1, max=3650, help="After so many days without a visit, people log in again.")
    ] = 30,
    upload_mb: Annotated[
        int, typer.Option(min=1, max=100_000, help="The largest file that a lead may send, in MiB.")
    ] = 256,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="A populated project, and simulated raters who label while you watch."),
    ] = False,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="A line for each request on standard error.")
    ] = False,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Serve the studio until Ctrl-C.  The first time, it prints a link that makes you its owner.

    Example: fairlead studio serve --port 8400
    """
    from dataclasses import replace

    from fairlead.core import jsonl
    from fairlead.studio import demo as demos
    from fairlead.studio.app import create_app
    from fairlead.studio.serving import Server

    with ExitStack() as stack:
        listening = stack.enter_context(_listen(host, port))
        if demo:
            project = demos.prepare_project(project)
            stack.enter_context(demos.serve_toy_models(project))
        port = listening.getsockname()[1]
        settings = replace(
            _settings(database, project, host=host, port=port, public_url=public_url, trusted_proxies=trusted_proxies, serving=True),
            session_days=session_days, upload_mb=upload_mb,
        )  # fmt: skip
        logging.basicConfig(
            stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
        )
        logging.getLogger("fairlead.studio").setLevel(logging.INFO if log_requests else logging.WARNING)
        opened = _open(settings)
        stack.callback(opened.close)
        populated = demos.populate(opened) if demo else None
        made = create_app(settings, opened, extra_routers=_more(settings), demo=demo)
        first_url = settings.origin + populated.path if populated else _first_url(opened, settings)
        if not settings.secure and host not in ("127.0.0.1", "localhost", "::1"):
            print_note(
                "Others reach this without https, so what they send can be read on the way. See docs/guides/running-a-studio.md for a proxy."
            )

        def ready() -> None:
            if populated is not None:
                stack.enter_context(demos.run_labellers(replace(settings, public_url=None).origin, populated))
            if as_json:
                print(
                    jsonl.dumps({"url": settings.origin, "first_url": first_url, "database": opened.url}),
                    flush=True,
                )
                return
            print(f"The studio is at {settings.origin}", flush=True)
            if first_url is not None:
                print(
                    f"Nobody owns it yet. Open this link, which works once and for a day, and become its owner:\n  {first_url}",
                    flush=True,
                )
            print("Ctrl-C stops it.", flush=True)

        Server(made, settings, ready).run([listening])
    print_note("Stopped.")


@user.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How leads see them.")],
    email: Annotated[
        str | None, typer.Option(help="With which they log in. Somebody who is here already gets a new link.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="In every campaign: viewer, lead or owner.")] = None,
    campaign: Annotated[
        str | None, typer.Option(metavar="SLUG", help="A campaign in which they label.")
    ] = None,
    database: DatabaseUrl = None,
    public_url: PublicUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Add somebody, and print the link with which they come in and choose a password.

    Example: fairlead studio user add "Ada Lovelace" --email ada@example.org --role lead
    """
    from fairlead.labels import access, campaigns, members, people
    from fairlead.labels.database import now
    from fairlead.labels.errors import StudioError

    settings = _settings(database, project, public_url=public_url)
    opened = _open(settings)
    with opened.write() as connection:
        known = people.find_by_email(connection, email) if email else None
        one = known or people.add(connection, name=name, email=email, role=role, by=SELF)
        if known is not None and role is not None and role != known.role:
            if not known.email_vouched:
                who = f"{known.name} ({known.rater})"
                raise StudioError(
                    f"{who} entered this address themselves. Where that is who you mean, give the role on the page People."
                )
            people.set_role(connection, known, role, by=SELF)
        if campaign is not None:
            members.join(connection, one, campaigns.get(connection, campaign).id, "labeller", by=SELF)
        _, secret = access.create_invite(connection, role=None, person_id=one.id, by=SELF, at=now())
    opened.close()
    url = f"{settings.origin}/join/{secret}"
    came = "is here already" if known else "was added"
    print_result(
        {"rater": one.rater, "name": one.name, "known": known is not None, "url": url},
        [
            f"{one.name} {came}, as {one.rater}.",
            f"This link lets them in, once and for a week: {url}",
            *(
                []
                if public_url
                else [
                    f"It leads to {settings.origin}; for a studio that people open elsewhere, say --public-url."
                ]
            ),
        ],
        as_json=as_json,
        next="fairlead studio serve",
    )


@app.command("status")
def status(database: DatabaseUrl = None, project: ProjectDir = None, as_json: AsJson = False) -> None:
    """Who and what is in the studio, and what is waiting.

    Example: fairlead studio status
    """
    from fairlead.labels import campaigns, events, jobs, people

    opened = _open(_settings(database, project))
    with opened.read() as connection:
        everybody = people.list_all(connection)
        found = campaigns.list_all(connection)
        waiting = [one for one in jobs.list_recent(connection, limit=1000) if not one.is_over]
        num_events = events.last_seq(connection)
    opened.close()
    owners = sum(one.role == "owner" for one in everybody)
    facts = {
        "database": opened.url,
        "num_people": len(everybody),
        "num_owners": owners,
        "campaigns": [
            {"slug": one.slug, "name": one.name, "kind": one.kind, "state": one.state} for one in found
        ],
        "num_jobs_waiting": len(waiting),
        "num_events": num_events,
    }
    shown = [
        f"{opened.url}",
        f"{_number(len(everybody), 'person', 'people')}, of whom {_number(owners, 'is an owner', 'are owners')}.",
        *(f"{one.state:<7} {one.kind:<14} {one.slug}" for one in found),
        f"{_number(len(found), 'campaign')}, {_number(len(waiting), 'job')} waiting or running, {_number(num_events, 'event')}.",
    ]
    print_result(facts, shown, as_json=as_json, next="fairlead studio verify")


@app.command("verify")
def verify(database: DatabaseUrl = None, project: ProjectDir = None, as_json: AsJson = False) -> None:
    """Compute the chain of events again; exit 3 where one was changed or is missing.

    Example: fairlead studio verify
    """
    from fairlead.labels import events

    opened = _open(_settings(database, project))
    with opened.read() as connection:
        verdict = events.verify(connection)
    opened.close()
    if verdict.problem is not None:
        raise GateRefused(
            f"{opened.url}: {verdict.problem}. Before that, {_number(verdict.num_events, 'event')} as written."
        )
    print_result(
        {"database": opened.url, "num_events": verdict.num_events},
        [f"All {_number(verdict.num_events, 'event')} are as they were written, and none is missing."],
        as_json=as_json,
        next="fairlead studio status",
    )


@app.command("snapshot")
def snapshot(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its short name, as in its address.")],
    name: Annotated[str, typer.Option(help="Of the snapshot, which becomes an artifact of the project.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also copy its rows there.")] = None,
    no_ties: Annotated[bool, typer.Option("--no-ties", help="Leave ties out.")] = False,
    min_margin: Annotated[int, typer.Option(help="Only preferences at least so clear, 0 to 3.")] = 0,
    by_item: Annotated[
        bool, typer.Option("--by-item", help="One row for each item, not for each judgement.")
    ] = False,
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Freeze a campaign's judgements as rows to train on.

    Example: fairlead studio snapshot helpful --name helpful-1
    """
    import shutil
    import time
    from dataclasses import asdict

    from fairlead.core import files
    from fairlead.labels import campaigns, job_handlers, job_worker
    from fairlead.labels import snapshot as snapshots
    from fairlead.labels.errors import StudioError
    from fairlead.labels.snapshot_filters import SnapshotFilters

    home = open_project(project)
    opened = _open(_settings(database, project))
    filters = SnapshotFilters(ties=not no_ties, min_margin=min_margin, by_item=by_item)
    with opened.write() as connection:
        one = campaigns.get(connection, campaign)
        number = snapshots.enqueue(connection, home, one, name, filters, by=SELF)
    while not (job := _job(opened, number)).is_over:
        if job_worker.run_one(opened, job_handlers.handlers(home)) is None:
            time.sleep(0.2)  # another worker has it
    if job.state != "done":
        raise StudioError(job.error or f"the snapshot was {job.state}.")
    with opened.read() as connection:
        made = snapshots.get(connection, one.id, name)
    opened.close()
    folder = home.artifacts / snapshots.KIND / name
    largest = max(made.counts.files, key=lambda file: made.counts.files[file])
    if out is not None:
        with open(folder / f"{largest}.jsonl", "rb") as source, files.atomic_file(out) as target:
            shutil.copyfileobj(source, target)
    counts = made.counts
    rows = ", ".join(_number(number, "row") + f" of {file}" for file, number in counts.files.items())
    by, over = _number(counts.raters, "person", "people"), _number(counts.items, "item")
    shown = [
        f"{rows}: {_number(counts.used, 'judgement')} by {by}, over {over}.",
        *(f"{count} left out: {why}." for why, count in counts.left_out.items()),
    ]
    print_result(
        {"snapshot": f"snapshot/{name}", "digest": made.digest, "counts": asdict(counts)},
        shown,
        as_json=as_json,
        wrote=[folder, *([out] if out else [])],
        next=snapshots.train_command(made),
    )


@app.command("worker")
def worker(database: DatabaseUrl = None, project: ProjectDir = None) -> None:
    """Do the studio's long work (imports, snapshots) in a process of its own, until Ctrl-C; as many as you like.

    Example: fairlead studio worker
    """
    import time

    from fairlead.core.interrupt import stop_on_interrupt
    from fairlead.labels import job_handlers, job_worker

    home = open_project(project)
    opened = _open(_settings(database, project))
    working = job_worker.WorkerThread(opened, job_handlers.handlers(home))
    with stop_on_interrupt() as stop:
        working.start()
        print_note(f"Waiting for jobs in {opened.url}. Ctrl-C stops.")
        while not stop:
            time.sleep(0.2)
    working.stop()
    opened.close()
    print_note("Stopped.")


def _settings(
    database: str | None,
    project: Path | None,
    *,
    host: str = "127.0.0.1",
    port: int = 8400,
    public_url: str | None = None,
    trusted_proxies: str = "127.0.0.1",
    serving: bool = False,
) -> "Settings":
    """Who serves needs a project, for its uploads, snapshots and runs; for the rest the database is enough."""
    from fairlead.store.project import read_settings
    from fairlead.studio.settings import Settings, read_oidc

    home = open_project(project) if project is not None or database is None or serving else None
    return Settings(
        database=database or str(home.root / "studio.db" if home else ""),
        project=home.root if home else None,
        host=host,
        port=port,
        public_url=public_url,
        trusted_proxies=trusted_proxies,
        oidc=read_oidc(read_settings(home.root)) if home and serving else None,
    )


def _open(settings: "Settings") -> "Database":
    from fairlead.labels import schema
    from fairlead.labels.database import open_database

    opened = open_database(settings.database)
    schema.upgrade(opened)
    return opened


def _more(settings: "Settings") -> "list[APIRouter]":
    """Rooms that need an extra."""
    if settings.oidc is None:
        return []
    from fairlead.studio import oidc

    return [oidc.router_for(settings.oidc)]


def _job(opened: "Database", number: int) -> "Job":
    from fairlead.labels import jobs

    with opened.read() as connection:
        return jobs.get(connection, number)


def _first_url(opened: "Database", settings: "Settings") -> str | None:
    """A link that makes an owner, while there is none.  There is no password that everybody knows."""
    from fairlead.labels import access, people
    from fairlead.labels.database import now

    with opened.write() as connection:
        if people.has_owner(connection):
            return None
        _, secret = access.create_invite(connection, role="owner", days=1, by=SELF, at=now())
    return f"{settings.origin}/first/{secret}"


def _listen(host: str, port: int) -> socket.socket:
    from fairlead.labels.errors import StudioError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with ExitStack() as stack:
            # asyncio sends at once where the protocol says TCP; otherwise an answer waits 40 ms for its first half to be confirmed.
            listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            stack.pop_all()
    except (OSError, OverflowError) as error:
        raise StudioError(
            f"cannot listen on {host} port {port}: {error}. Choose another with --port or --host.",
            field="port",
        ) from None
    return listening


def _number(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"
