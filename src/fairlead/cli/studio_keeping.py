"""`fairlead studio token`, `backup` and `restore`: what the keeper of a studio does on its server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.output import AsJson, print_result
from fairlead.cli.studio import SELF, DatabaseUrl, open_studio, studio_settings
from fairlead.core.errors import GateRefused
from fairlead.core.plural import counted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fairlead.labels.people import Person

token = typer.Typer(help="Manage API tokens of users.", no_args_is_help=True)
Who = Annotated[str, typer.Argument(metavar="USER", help="Email address or pseudonym of the user.")]


@token.command("add")
def add_token(
    who: Who,
    name: Annotated[str, typer.Option(help="What the token is for.")] = "command line",
    scopes: Annotated[
        str, typer.Option(metavar="SCOPES", help="Comma-separated: read, label, lead, owner, account.")
    ] = "read",
    days: Annotated[int, typer.Option(help="Days until the token expires.")] = 90,
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Create an API token of a user, and print it once.

    Example: fairlead studio token add ada@example.org --scopes read,lead
    """
    from fairlead.labels import credentials
    from fairlead.labels.database import now

    opened = open_studio(studio_settings(database, project))
    with opened.write() as connection:
        person = _find(connection, who)
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        created, text = credentials.create_token(
            connection, person, name=name, scopes=wanted, days=days, by=SELF, at=now()
        )
    opened.close()
    facts = {"id": created.id, "rater": person.rater, "token": text, "scopes": sorted(created.scopes)}
    print_result(
        {**facts, "expires_at": created.expires_at},
        [
            f"This token of {person.name} ({person.rater}) is not shown again: {text}",
            f"It allows {', '.join(sorted(created.scopes))} until {created.expires_at[:10]}, "
            f"and never more than the roles of {person.name} do.",
        ],
        as_json=as_json,
        next=f"fairlead studio token list {who}",
    )


@token.command("list")
def list_tokens(
    who: Who, database: DatabaseUrl = None, project: ProjectDir = None, as_json: AsJson = False
) -> None:
    """Print the API tokens of a user, without their texts.

    Example: fairlead studio token list ada@example.org
    """
    from fairlead.labels import credentials

    opened = open_studio(studio_settings(database, project))
    with opened.read() as connection:
        person = _find(connection, who)
        tokens = credentials.list_tokens(connection, person)
    opened.close()
    rows = [
        {
            "id": each.id,
            "name": each.name,
            "start": each.start,
            "scopes": sorted(each.scopes),
            "used_at": each.used_at,
            "expires_at": each.expires_at,
        }
        for each in tokens
    ]
    lines = [
        f"{each.id:>5}  {each.start}…  {each.name}: "
        f"{', '.join(sorted(each.scopes))}, until {each.expires_at[:10]}"
        for each in tokens
    ]
    print_result(
        {"rater": person.rater, "tokens": rows},
        [*lines, f"{person.name} has {counted(len(tokens), 'token')}."],
        as_json=as_json,
        next=f"fairlead studio token revoke {who} ID" if tokens else f"fairlead studio token add {who}",
    )


@token.command("revoke")
def revoke_token(
    who: Who,
    token_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the token, from the list.")],
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """End an API token of a user, and the tokens that it created.

    Example: fairlead studio token revoke ada@example.org 3
    """
    from fairlead.labels import credentials

    opened = open_studio(studio_settings(database, project))
    with opened.write() as connection:
        person = _find(connection, who)
        credentials.revoke_token(connection, person, token_id, by=SELF)
    opened.close()
    print_result(
        {"rater": person.rater, "revoked": token_id},
        [f"Token {token_id} of {person.name} has ended."],
        as_json=as_json,
        next=f"fairlead studio token list {who}",
    )


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to create.")],
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Back up the studio while it runs: its database, uploads and snapshots.

    Example: fairlead studio backup backups/2026-01-31
    """
    from fairlead.labels import backup as backups

    opened_project = open_project(project) if project is not None or database is None else None
    manifest = backups.make(studio_settings(database, project).database, opened_project, folder)
    print_result(
        {
            "database": manifest["database"],
            "num_files": len(manifest["files"]),
            "made_at": manifest["made_at"],
        },
        [f"The backup holds the {manifest['database']} database and the files of the project."],
        as_json=as_json,
        wrote=[folder],
        next=f"fairlead studio restore {folder} --database FILE|URL",
    )


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the backup.")],
    database: DatabaseUrl = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a new database, and verify it; exit with 3 if its events do not verify.

    Example: fairlead studio restore backups/2026-01-31 --project restored
    """
    from fairlead.labels import backup as backups

    opened_project = open_project(project) if project is not None or database is None else None
    target = studio_settings(database, project).database
    restored = backups.restore(folder, target, opened_project)
    if restored.check.problem is not None:
        raise GateRefused(f"The backup was restored, but its events do not verify: {restored.check.problem}.")
    lines = [
        f"The database and {counted(restored.num_files, 'file')} are restored. "
        f"All {counted(restored.check.num_events, 'event')} verify."
    ]
    if restored.num_stopped_webhooks:
        stopped = counted(restored.num_stopped_webhooks, "webhook")
        lines.append(f"Stopped {stopped}, because the other studio may still send. Start them on their page.")
    print_result(
        {
            "num_files": restored.num_files,
            "num_events": restored.check.num_events,
            "num_stopped_webhooks": restored.num_stopped_webhooks,
        },
        lines,
        as_json=as_json,
        next="fairlead studio serve",
    )


def _find(connection: "Connection", who: str) -> "Person":
    from fairlead.labels import people
    from fairlead.labels.errors import NotFound

    if "@" not in who:
        return people.get(connection, who)
    person = people.find_by_email(connection, who)
    if person is None:
        raise NotFound(f"There is no user {who}. Add one with: fairlead studio user add NAME --email {who}")
    return person
