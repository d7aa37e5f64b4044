"""Everything that the studio keeps about a person, as a zip archive of JSON files.

Each table is listed once: where it names the person, and what is hidden.  Hidden are secrets, and what would
break blinding: which model wrote an answer.  The archive is written while pages of rows are read.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, or_, select

from fairlead.core.byte_sink import ByteSink
from fairlead.labels import schema
from fairlead.labels.database import Database
from fairlead.labels.people import Person

ROWS_PER_PAGE = 500
MEDIA_TYPE = "application/zip"
ABOUT = """\
Everything that this studio keeps about you, as JSON: a list of rows for each kind of record.

Your judgements are stored under the pseudonym in account.json.  Times are in UTC.  Passwords and the secrets
of log-ins and tokens are stored as digests only, and left out.  The models that wrote answers are left out,
because you may judge more of them.
"""
Owns = Callable[[Table, Person], ColumnElement[bool]]


def _by(*columns: str) -> Owns:
    """The row is the person's if one of the columns holds their id or pseudonym."""

    def owns(table: Table, person: Person) -> ColumnElement[bool]:
        values: Mapping[str, Any] = {"person_id": person.id, "id": person.id}
        return or_(*(table.c[column] == values.get(column, person.rater) for column in columns))

    return owns


def _by_assignment(table: Table, person: Person) -> ColumnElement[bool]:
    assignments = schema.metadata.tables["assignment"]
    tokens = select(assignments.c.token).where(assignments.c.rater == person.rater)
    return table.c.token.in_(tokens)


def _by_turn(table: Table, person: Person) -> ColumnElement[bool]:
    turns = schema.metadata.tables["chat_turn"]
    return table.c.turn_id.in_(select(turns.c.id).where(_by_assignment(turns, person)))


@dataclass(frozen=True)
class Part:
    """A file of the archive, from the rows of one table."""

    table: str
    owns: Owns
    hidden: frozenset[str] = field(default_factory=frozenset)


SECRET = frozenset({"secret_hash"})
PARTS: Mapping[str, Part] = {
    "account": Part("person", _by("id"), frozenset({"password"})),
    "pseudonym": Part("pseudonym", _by("person_id")),
    "memberships": Part("membership", _by("person_id")),
    "log-ins": Part("login_session", _by("person_id"), SECRET),
    "tokens": Part("api_token", _by("person_id"), SECRET),
    "invitations": Part("invite", _by("person_id", "made_by"), SECRET),
    "judgements": Part("judgement", _by("rater")),
    "drafts": Part("draft", _by("rater")),
    "assignments-and-skips": Part("assignment", _by("rater")),
    "kept-items": Part("slot", _by("reserved_for")),
    "flags": Part("flag", _by("rater", "resolved_by")),
    "chat-messages": Part("chat_turn", _by_assignment),
    "chat-answers": Part("chat_answer", _by_turn, frozenset({"source", "params"})),
    "chat-choices": Part("chat_choice", _by_turn),
    "guidelines-read": Part("guideline_read", _by("rater")),
    "guidelines-written": Part("guideline", _by("written_by")),
    "campaigns-created": Part("campaign", _by("created_by"), frozenset({"seed"})),
    "webhooks": Part("webhook", _by("made_by"), frozenset({"secret"})),
    "uploads": Part("upload", _by("uploaded_by")),
    "snapshots": Part("snapshot", _by("made_by")),
    "jobs": Part("job", _by("actor"), frozenset({"token", "memory"})),
    "events": Part("event", _by("actor", "subject")),
}


def archive(database: Database, person: Person) -> Iterator[bytes]:
    """The bytes of the zip archive."""
    sink = ByteSink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("README.txt", ABOUT)
        for name, part in PARTS.items():
            with packed.open(f"{name}.json", "w") as file:
                before = "[\n"
                for row in _rows(database, part, person):
                    file.write(f"{before}{json.dumps(row, ensure_ascii=False)}".encode())
                    before = ",\n"
                    if sink.has_much:
                        yield sink.taken()
                file.write(b"[]\n" if before == "[\n" else b"\n]\n")
            yield sink.taken()
    yield sink.taken()


def _rows(database: Database, part: Part, person: Person) -> Iterator[dict[str, Any]]:
    table = schema.metadata.tables[part.table]
    columns = [column for column in table.c if column.name not in part.hidden]
    query = select(*columns).where(part.owns(table, person)).order_by(*table.primary_key.columns)
    offset = 0
    while True:
        with database.read() as connection:
            page = _page(connection, query, offset)
        yield from page
        if len(page) < ROWS_PER_PAGE:
            return
        offset += ROWS_PER_PAGE


def _page(connection: Connection, query: Any, offset: int) -> list[dict[str, Any]]:
    rows = connection.execute(query.offset(offset).limit(ROWS_PER_PAGE))
    return [dict(row._mapping) for row in rows]
