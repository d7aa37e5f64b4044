"""People, and the pseudonyms under which everything that they do is kept.

`pseudonym` is the only link between a person and a rater.  Erasing a person drops it, with the name, the e-mail address, the sessions,
the tokens and the drafts: what was judged stays, and nothing says any more by whom.  Passwords are in `passwords`; sessions, invites
and tokens in `access`.
"""

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from fairlead.labels import events, passwords
from fairlead.labels.database import Database, metadata, now
from fairlead.labels.drafts import draft_table
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.passwords import PasswordHash

person_table = Table(
    "person",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(120), nullable=False),
    Column("email", String(254), unique=True),  # in small letters
    Column(
        "email_vouched", Boolean, nullable=False
    ),  # an owner or the command line entered it, and not they themselves
    Column("password", String(200)),  # argon2
    Column("subject", String(500), unique=True),  # issuer and subject at a log-in elsewhere
    Column("role", String(20)),  # in every campaign
    Column("preferences", JSON, nullable=False),
    Column("created_at", String(27), nullable=False),
)
pseudonym_table = Table(
    "pseudonym",
    metadata,
    Column(
        "person_id",
        Integer,
        ForeignKey("person.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("rater", String(40), nullable=False, unique=True),
)
STUDIO_ROLES = ("viewer", "lead", "owner")  # the same in every campaign; an owner also rules over people
PREFERENCES = ("theme", "hand", "keys", "daily_goal")
LONGEST_NAME = 120
LARGEST_PREFERENCES = 8_000  # characters of all of them as text


@dataclass(frozen=True)
class Person:
    id: int
    rater: str  # "r-" and ten hexadecimal digits
    name: str
    email: str | None
    email_vouched: bool
    role: str | None  # one of STUDIO_ROLES; None for who only has roles in campaigns
    preferences: dict[str, Any]
    has_password: bool
    created_at: str


# ---------------------------------------------------------------- people


def add(
    connection: Connection,
    *,
    name: str,
    email: str | None = None,
    password: PasswordHash | None = None,
    subject: str | None = None,
    role: str | None = None,
    by: str | None = None,
) -> Person:
    """`by` is who adds them; None where they come by themselves."""
    if role is not None and role not in STUDIO_ROLES:
        raise Invalid({"role": f"is one of {', '.join(STUDIO_ROLES)}"})
    values: dict[str, Any] = {
        "name": _clean_name(name), "email": _clean_email(email), "email_vouched": by is not None, "subject": subject, "role": role, "preferences": {},
        "created_at": now(), "password": password,
    }  # fmt: skip
    try:
        with connection.begin_nested():
            made = connection.execute(
                insert(person_table).values(values).returning(person_table.c.id)
            ).scalar_one()
    except IntegrityError:
        raise Conflict("somebody with this e-mail address is here already; log in instead.") from None
    rater = f"r-{secrets.token_hex(5)}"
    while connection.execute(select(pseudonym_table.c.rater).where(pseudonym_table.c.rater == rater)).first():
        rater = f"r-{secrets.token_hex(5)}"
    connection.execute(insert(pseudonym_table).values(person_id=made, rater=rater))
    events.append(connection, verb="person.joined", actor=by or rater, subject=rater, body={"role": role})
    return get(connection, rater)


def get(connection: Connection, rater: str) -> Person:
    row = connection.execute(_select_people.where(pseudonym_table.c.rater == rater)).one_or_none()
    if row is None:
        raise NotFound(f"there is nobody called {rater} here.")
    return _from_row(row)


def get_by_id(connection: Connection, person_id: int) -> Person:
    return _from_row(connection.execute(_select_people.where(person_table.c.id == person_id)).one())


def find_by_subject(connection: Connection, subject: str) -> Person | None:
    row = connection.execute(_select_people.where(person_table.c.subject == subject)).one_or_none()
    return None if row is None else _from_row(row)


def find_by_email(connection: Connection, email: str) -> Person | None:
    row = connection.execute(
        _select_people.where(person_table.c.email == email.strip().lower())
    ).one_or_none()
    return None if row is None else _from_row(row)


def authenticate(connection: Connection, email: str, password: str) -> Person | None:
    """Who logs in so, or None; as slow for an address that nobody has as for a wrong password."""
    row = connection.execute(
        _select_people.where(person_table.c.email == email.strip().lower())
    ).one_or_none()
    right = passwords.verify_password(password, row.password if row else None)
    return _from_row(row) if row and right else None


def check_password(connection: Connection, person: Person, password: str) -> bool:
    stored = connection.execute(
        select(person_table.c.password).where(person_table.c.id == person.id)
    ).scalar()
    return passwords.verify_password(password, stored)


def list_all(connection: Connection) -> list[Person]:
    return [
        _from_row(row)
        for row in connection.execute(
            _select_people.order_by(func.lower(person_table.c.name), person_table.c.id)
        )
    ]


def names_of(connection: Connection, raters: Collection[str]) -> dict[str, str]:
    """For the eyes of leads and owners only.  Who was erased is not in it."""
    query = (
        select(pseudonym_table.c.rater, person_table.c.name)
        .join(person_table)
        .where(pseudonym_table.c.rater.in_(raters))
    )
    return {row.rater: row.name for row in connection.execute(query)}


def has_owner(connection: Connection) -> bool:
    return (
        connection.execute(select(person_table.c.id).where(person_table.c.role == "owner").limit(1)).first()
        is not None
    )


def change(
    connection: Connection,
    person: Person,
    *,
    name: str | None = None,
    email: str | None = None,
    password: PasswordHash | None = None,
) -> Person:
    """What they themselves give; an empty e-mail address takes it away."""
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = _clean_name(name)
    if email is not None:
        values["email"] = _clean_email(email)
    if password is not None:
        values["password"] = password
    if values.get("email", person.email) is None and (person.has_password or password is not None):
        raise Invalid({"email": "is needed to log in with a password"})
    if values:
        vouched = person.email_vouched and values.get("email", person.email) == person.email
        try:
            with connection.begin_nested():
                connection.execute(
                    update(person_table)
                    .where(person_table.c.id == person.id)
                    .values(values | {"email_vouched": vouched})
                )
        except IntegrityError:
            raise Conflict("somebody else has this e-mail address.", field="email") from None
        events.append(
            connection,
            verb="person.changed",
            actor=person.rater,
            subject=person.rater,
            body={"fields": sorted(values)},
        )
    return get_by_id(connection, person.id)


def set_preferences(connection: Connection, person: Person, preferences: Mapping[str, Any]) -> Person:
    """Adds to what was preferred; None takes one away.  How a screen looks is no event."""
    if unknown := set(preferences) - set(PREFERENCES):
        raise Invalid(
            {name: f"is no preference; there are {', '.join(PREFERENCES)}" for name in sorted(unknown)}
        )
    kept = {
        name: value for name, value in (person.preferences | dict(preferences)).items() if value is not None
    }
    if kept.get("theme", "light") not in ("light", "dark"):
        raise Invalid({"theme": "is light, dark or nothing"})
    if not 1 <= kept.get("daily_goal", 1) <= 10_000:
        raise Invalid({"daily_goal": "is 1 to 10,000, or nothing"})
    if len(str(kept)) > LARGEST_PREFERENCES:
        raise Invalid({"keys": "are too many"})
    connection.execute(update(person_table).where(person_table.c.id == person.id).values(preferences=kept))
    return get_by_id(connection, person.id)


def set_role(connection: Connection, person: Person, role: str | None, *, by: str) -> Person:
    if role is not None and role not in STUDIO_ROLES:
        raise Invalid({"role": f"is one of {', '.join(STUDIO_ROLES)}, or nothing"})
    if person.role == "owner" and role != "owner":
        _require_other_owner(connection, person)
    connection.execute(update(person_table).where(person_table.c.id == person.id).values(role=role))
    events.append(connection, verb="person.role", actor=by, subject=person.rater, body={"role": role})
    return get_by_id(connection, person.id)


def link_subject(connection: Connection, person: Person, subject: str) -> None:
    """From now on they log in elsewhere as `subject`."""
    connection.execute(update(person_table).where(person_table.c.id == person.id).values(subject=subject))


def link_by_email(connection: Connection, email: str, subject: str) -> Person | None:
    """Who has this address logs in elsewhere as `subject` from now on.  None where nobody does, where they log in there as somebody else
    already, or where the address is only their own word: anybody could have typed it in, to have its owner work in their account.
    """
    theirs = (
        person_table.c.email == email.strip().lower(),
        person_table.c.email_vouched,
        person_table.c.subject.is_(None),
    )
    found = connection.execute(
        update(person_table).where(*theirs).values(subject=subject).returning(person_table.c.id)
    ).scalar_one_or_none()
    return None if found is None else get_by_id(connection, found)


def erase(connection: Connection, person: Person, *, by: str) -> None:
    """The person is gone; what they did stays under a pseudonym that leads to nobody.  `forget` afterwards."""
    if person.role == "owner":
        _require_other_owner(connection, person)
    connection.execute(delete(draft_table).where(draft_table.c.rater == person.rater))
    connection.execute(
        delete(person_table).where(person_table.c.id == person.id)
    )  # pseudonym, memberships, sessions, tokens and own links go with it
    events.append(connection, verb="person.erased", actor=by, subject=person.rater)


def scrub_erased(database: Database) -> None:
    """Nobody who was erased is in a free corner of the database's files."""
    theirs = [
        table
        for table in metadata.sorted_tables
        if any(key.column.table is person_table for key in table.foreign_keys)
    ]
    database.forget([person_table, *theirs, draft_table])


# ---------------------------------------------------------------- details

_select_people = select(person_table, pseudonym_table.c.rater).join(pseudonym_table)


def _require_other_owner(connection: Connection, person: Person) -> None:
    others = (
        select(person_table.c.id)
        .where(person_table.c.role == "owner", person_table.c.id != person.id)
        .limit(1)
    )
    if connection.execute(others).first() is None:
        raise Conflict("this is the only owner of the studio; make somebody else an owner first.")


def _clean_name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid({"name": f"needs 1 to {LONGEST_NAME} characters"})
    return name


def _clean_email(email: str | None) -> str | None:
    email = (email or "").strip().lower()
    if email and (
        len(email) > 254 or not email.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email)
    ):
        raise Invalid({"email": "is not an e-mail address"})
    return email or None


def _from_row(row: Any) -> Person:
    return Person(
        row.id,
        row.rater,
        row.name,
        row.email,
        row.email_vouched,
        row.role,
        dict(row.preferences),
        row.password is not None,
        row.created_at,
    )
