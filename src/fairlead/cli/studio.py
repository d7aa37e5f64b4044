"""`fairlead studio`: serve and administer the web application in which people give feedback."""

import gc
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.core.errors import GateRefused
from fairlead.core.plural import counted

if TYPE_CHECKING:
    from fastapi import APIRouter

    from fairlead.labels.database import Database
    from fairlead.studio.settings import Settings

SELF = "system"
DATABASE = "FAIRLEAD_DATABASE"

app = typer.Typer(help="Collect people's feedback in the browser.", no_args_is_help=True)
user = typer.Typer(help="Manage the users of the studio.", no_args_is_help=True)
app.add_typer(user, name="user")

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="FILE|URL",
        envvar=DATABASE,
        help="SQLite file, or postgresql://USER:PASSWORD@HOST/NAME; by default studio.db in the project.",
    ),
]
PublicUrl = Annotated[
    str | None,
    typer.Option(
        "--public-url",
        metavar="URL",
        help="Address that users open, e.g. of a proxy. It may have a path.",
    ),
]
PrivateWebhooks = Annotated[
    bool, typer.Option("--private-webhooks", help="Let webhooks lead to private addresses.")
]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """For imports: nothing that they make is garbage, and looking for garbage takes a sixth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command("serve")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free port.")] = 8400,
    database: DatabaseUrl = None,
    public_url: PublicUrl = None,
    trusted_proxies: Annotated[
        str,
        typer.Option(
            metavar="IPS",
            help="Comma-separated proxies whose forwarded client addresses are trusted; * for all.",
        ),
    ] = "127.0.0.1",
    allowed_hosts: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Comma-separated host names that users open, besides that of --public-url; "
            "*.example.org for all under a domain.",
        ),
    ] = "",
    connections_per_source: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Open connections of one network address, and open requests of one behind a proxy; "
            "0 for any number.",
        ),
    ] = 256,
    private_webhooks: PrivateWebhooks = False,
    session_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days without a visit after which users log in again.")
    ] = 30,
    upload_mb: Annotated[int, typer.Option(min=1, max=100_000, help="Largest upload in MiB.")] = 256,
    time_zone: Annotated[str, typer.Option(metavar="NAME", help="Of the pages: Europe/Berlin.")] = "UTC",
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
    """Serve the studio until Ctrl-C.  While there is no owner, it prints a link that makes you the owner.

    Example: fairlead studio serve --port 8400
    """
    with _without_garbage_collection():
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
            studio_settings(database, project, public_url=public_url, serving=True),
            host=host,
            port=port,
            trusted_proxies=trusted_proxies,
            allowed_hosts=tuple(name.strip().lower() for name in allowed_hosts.split(",") if name.strip()),
            connections_per_source=connections_per_source,
            private_webhooks=private_webhooks,
            session_days=session_days,
            upload_mb=upload_mb,
            time_zone=time_zone,
        )
        line = "%(asctime)s %(levelname)s %(message)s"
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=line)
        logging.getLogger("fairlead.studio").setLevel(logging.INFO if log_requests else logging.WARNING)
        opened_database = open_studio(settings)
        stack.callback(opened_database.close)
        populated = demos.populate(opened_database) if demo else None
        application = create_app(
            settings, opened_database, extra_routers=_optional_routers(settings), demo=demo
        )
        first_url = settings.origin + populated.path if populated else _first_url(opened_database, settings)
        if not settings.secure and host not in ("127.0.0.1", "localhost", "::1"):
            print_note(
                "Other machines reach the studio without https, so their traffic can be read. "
                "Put a proxy in front: docs/guides/running-a-studio.md."
            )

        def ready() -> None:
            if populated is not None:
                stack.enter_context(demos.run_labellers(replace(settings, public_url=None).origin, populated))
            if as_json:
                print(
                    jsonl.dumps(
                        {"url": settings.origin, "first_url": first_url, "database": opened_database.url}
                    ),
                    flush=True,
                )
                return
            print(f"The studio is at {settings.origin}", flush=True)
            if first_url is not None:
                print(
                    "The studio has no owner yet. Open this link to become the owner; it works once, "
                    "for a day:"
                    f"\n  {first_url}",
                    flush=True,
                )
            print("Ctrl-C stops the studio.", flush=True)

        gc.freeze()  # modules and routes last until the end: no collection looks at them again
        Server(application, settings, ready).run([listening])
    print_note("Stopped.")


@user.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name that leads see.")],
    email: Annotated[
        str | None, typer.Option(help="Address for logging in. A known user gets a new link.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Role in every campaign: viewer, lead or owner.")] = None,
    campaign: Annotated[
        str | None, typer.Option(metavar="SLUG", help="Campaign in which the user labels.")
    ] = None,
    database: DatabaseUrl = None,
    public_url: PublicUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a user, and print a link for choosing a password.

    Example: fairlead studio user add "Ada Lovelace" --email ada@example.org --role lead
    """
    from fairlead.labels import campaigns, credentials, members, people
    from fairlead.labels.database import now
    from fairlead.labels.errors import StudioError

    settings = studio_settings(database, project, public_url=public_url)
    opened_database = open_studio(settings)
    with opened_database.write() as connection:
        existing = people.find_by_email(connection, email) if email else None
        person = existing or people.add(connection, name=name, email=email, role=role, by=SELF)
        if existing is not None and role is not None and role != existing.role:
            if not existing.email_vouched:
                raise StudioError(
                    f"{existing.name} ({existing.rater}) entered this address themselves. "
                    "If you know that the address is theirs, assign the role on the page People."
                )
            people.set_role(connection, existing, role, by=SELF)
        if campaign is not None:
            members.join(connection, person, campaigns.get(connection, campaign).id, "labeller", by=SELF)
        _, secret = credentials.create_invite(connection, role=None, person_id=person.id, by=SELF, at=now())
    opened_database.close()
    url = f"{settings.origin}/join/{secret}"
    lines = [
        f"{person.name} {'is already a user' if existing else 'was added'}: {person.rater}.",
        f"This link lets them in, once and for a week: {url}",
    ]
    if not public_url:
        lines.append(f"The link leads to {settings.origin}; name another address with --public-url.")
    print_result(
        {"rater": person.rater, "name": person.name, "known": existing is not None, "url": url},
        lines,
        as_json=as_json,
        next="fairlead studio serve",
    )


@app.command("status")
def status(database: DatabaseUrl = None, project: ProjectDir = None, as_json: AsJson = False) -> None:
    """Print the people, campaigns, waiting jobs and events of the studio.

    Example: fairlead studio status
    """
    from fairlead.labels import campaigns, events, jobs, people

    opened_database = open_studio(studio_settings(database, project))
    with opened_database.read() as connection:
        all_people = people.list_all(connection)
        all_campaigns = campaigns.list_all(connection)
        num_jobs = sum(not job.is_over for job in jobs.list_recent(connection, limit=1000))
        num_events = events.last_seq(connection)
    opened_database.close()
    num_owners = sum(person.role == "owner" for person in all_people)
    facts = {
        "database": opened_database.url,
        "num_people": len(all_people),
        "num_owners": num_owners,
        "campaigns": [
            {"slug": campaign.slug, "name": campaign.name, "kind": campaign.kind, "state": campaign.state}
            for campaign in all_campaigns
        ],
        "num_jobs_waiting": num_jobs,
        "num_events": num_events,
    }
    lines = [
        f"{opened_database.url}",
        f"{counted(len(all_people), 'person')}, {counted(num_owners, 'owner')}.",
        *(f"{campaign.state:<7} {campaign.kind:<14} {campaign.slug}" for campaign in all_campaigns),
        f"{counted(len(all_campaigns), 'campaign')}, {counted(num_jobs, 'job')} waiting or running, "
        f"{counted(num_events, 'event')}.",
    ]
    print_result(facts, lines, as_json=as_json, next="fairlead studio verify")


@app.command("verify")
def verify(database: DatabaseUrl = None, project: ProjectDir = None, as_json: AsJson = False) -> None:
    """Recompute the chain of events; exit with 3 if an event or what it wrote was changed or is missing.

    Example: fairlead studio verify
    """
    from fairlead.labels import events

    opened_database = open_studio(studio_settings(database, project))
    with opened_database.read() as connection:
        verdict = events.verify(connection)
    opened_database.close()
    if verdict.problem is not None:
        raise GateRefused(
            f"{opened_database.url}: {verdict.problem}. "
            f"{counted(verdict.num_events, 'earlier event')} verified."
        )
    print_result(
        {"database": opened_database.url, "num_events": verdict.num_events},
        [
            f"All {counted(verdict.num_events, 'event')} are unchanged, and none is missing. "
            "So are the judgements, flags, guidelines, roles and texts of items."
        ],
        as_json=as_json,
        next="fairlead studio status",
    )


@app.command("worker")
def worker(
    database: DatabaseUrl = None, private_webhooks: PrivateWebhooks = False, project: ProjectDir = None
) -> None:
    """Run imports and snapshots and send webhooks in a separate process until Ctrl-C.  Several may run.

    Example: fairlead studio worker
    """
    import time

    from fairlead.core.interrupt import stop_on_interrupt
    from fairlead.labels import job_handlers, job_worker, webhook_delivery

    opened_project = open_project(project)
    opened_database = open_studio(studio_settings(database, project))
    deliveries = webhook_delivery.DeliveryThread(opened_database, allow_private=private_webhooks)
    worker_thread = job_worker.WorkerThread(opened_database, job_handlers.handlers(opened_project))
    with stop_on_interrupt() as stop:
        worker_thread.start()
        deliveries.start()
        print_note(f"Waiting for jobs in {opened_database.url}. Ctrl-C stops.")
        while not stop:
            time.sleep(0.2)
    worker_thread.stop()
    deliveries.stop()
    opened_database.close()
    print_note("Stopped.")


def studio_settings(
    database: str | None, project: Path | None, *, public_url: str | None = None, serving: bool = False
) -> "Settings":
    """Serving needs a project for uploads, snapshots and runs; other commands need only the database."""
    from fairlead.store.project import read_settings
    from fairlead.studio.settings import Settings, read_oidc

    opened_project = open_project(project) if project is not None or database is None or serving else None
    return Settings(
        database=database or str(opened_project.root / "studio.db" if opened_project else ""),
        project=opened_project.root if opened_project else None,
        public_url=public_url,
        oidc=read_oidc(read_settings(opened_project.root)) if opened_project and serving else None,
    )


def open_studio(settings: "Settings") -> "Database":
    from fairlead.labels import schema
    from fairlead.labels.database import open_database

    database = open_database(settings.database)
    schema.upgrade(database)
    return database


def _optional_routers(settings: "Settings") -> "list[APIRouter]":
    """Routers that need an optional dependency."""
    if settings.oidc is None:
        return []
    from fairlead.studio import oidc

    return [oidc.router_for(settings.oidc)]


def _first_url(database: "Database", settings: "Settings") -> str | None:
    """A one-time link that makes its user the owner; None if there is an owner."""
    from fairlead.labels import credentials, people
    from fairlead.labels.database import now

    with database.write() as connection:
        if people.has_owner(connection):
            return None
        _, secret = credentials.create_invite(connection, role="owner", days=1, by=SELF, at=now())
    return f"{settings.origin}/first/{secret}"


def _listen(host: str, port: int) -> socket.socket:
    from fairlead.labels.errors import StudioError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with ExitStack() as stack:
            # asyncio sets TCP_NODELAY only for this protocol; without it, responses wait 40 ms.
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
