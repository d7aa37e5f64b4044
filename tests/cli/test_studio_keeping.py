"""What the keeper of a studio does on its server: tokens, backups, restoring."""

from pathlib import Path

from cli.studio_database import database
from fairlead.labels import credentials, events
from fairlead.labels.database import now
from labels import build
from outcome import Cli


def test_a_token_from_the_command_line(home: Path, cli: Cli) -> None:
    where = ("--project", home)
    words = ("studio", "user", "add", "Ada", "--email", "ada@example.org", "--role", "lead", *where)
    assert cli(*words).code == 0
    facts = cli("studio", "token", "add", "ada@example.org", "--scopes", "read, lead", *where, "--json").json
    assert facts["scopes"] == ["lead", "read"]
    with database(home) as opened, opened.read() as connection:
        token = credentials.find_token(connection, facts["token"], at=now())
        assert token is not None and token.scopes == {"lead", "read"}
        [event] = events.list_latest(connection, verbs=["token.made"])
        assert event.actor == "system"
    listed = cli("studio", "token", "list", facts["rater"], *where).out
    assert facts["token"] not in listed and facts["token"][:8] in listed and "1 token" in listed
    wrong = cli("studio", "token", "add", "ada@example.org", "--scopes", "everything", *where)
    assert wrong.code == 1 and "read, label" in wrong.err
    assert "no user nobody@example.org" in cli("studio", "token", "add", "nobody@example.org", *where).err
    assert cli("studio", "token", "revoke", "ada@example.org", str(facts["id"]), *where).code == 0
    assert "0 tokens" in cli("studio", "token", "list", "ada@example.org", *where).out


def test_backup_restore_and_verify(home: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("studio", "status", "--project", home).code == 0  # creates the tables
    with database(home) as opened, opened.write() as connection:
        build.open_campaign(connection)
    folder, other = tmp_path / "backup", tmp_path / "new"
    made = cli("studio", "backup", folder, "--project", home)
    assert made.code == 0 and "studio restore" in made.out
    assert cli("init", other).code == 0
    restored = cli("studio", "restore", folder, "--project", other)
    assert restored.code == 0 and "verify" in restored.out
    assert cli("studio", "verify", "--project", other).code == 0
    again = cli("studio", "restore", folder, "--project", other)
    assert again.code == 1 and "exists already" in again.err
