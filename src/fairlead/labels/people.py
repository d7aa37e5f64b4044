"""People with accounts in the studio, and the pseudonyms under which their work is stored.

A rater is identified by a pseudonym.  The table `pseudonym` is the only link from a rater to a person.
Erasing a person deletes this link, the name, the e-mail address, sessions, API tokens and drafts.  The
judgements stay. Passwords are in `passwords`; sessions, invites and tokens are in `access`; roles in
campaigns are in `members`.
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
from fairlead.labels.errors import Conflict, Invalid, NotFound, Stale
from fairlead.labels.passwords import PasswordHash
from fairlead.labels.seals import Row

person_table = Table(
    "person",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(120), nullable=False),
    Column("email", String(254), unique=True),  # lowercase
    Column("email_vouched", Boolean, nullable=False),  # entered by an owner or a command, not by the person
    Column("password", String(200)),  # argon2 hash
    Column("subject", String(500), unique=True),  # issuer and subject of the OpenID Connect account
    Column("role", String(20)),  # role in every campaign
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
STUDIO_ROLES = ("viewer", "lead", "owner")  # apply to every campaign; owners also manage people
PREFERENCES = ("theme", "hand", "keys", "daily_goal")
LONGEST_NAME = 120
LARGEST_PREFERENCES = 8_000  # characters of the preferences as text


@dataclass(frozen=True)
class Person:
    id: int
    rater: str  # "r-" and ten hexadecimal digits
    name: str
    email: str | None
    email_vouched: bool
    role: str | None  # one of STUDIO_ROLES; None for roles in campaigns only
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
    """Add a person.  `by` is the rater who adds the person, or None when people register themselves."""
    if role is not None and role not in STUDIO_ROLES:
        raise Invalid({"role": f"must be one of: {', '.join(STUDIO_ROLES)}"})
    values: dict[str, Any] = {
        "name": _clean_name(name),
        "email": _clean_email(email),
        "email_vouched": by is not None,
        "subject": subject,
        "role": role,
        "preferences": {},
        "created_at": now(),
        "password": password,
    }
    try:
        with connection.begin_nested():
            person_id = connection.execute(
                insert(person_table).values(values).returning(person_table.c.id)
            ).scalar_one()
    except IntegrityError:
        raise Conflict("There is already an account with this e-mail address. Log in instead.") from None
    rater = f"r-{secrets.token_hex(5)}"
    while connection.execute(select(pseudonym_table.c.rater).where(pseudonym_table.c.rater == rater)).first():
        rater = f"r-{secrets.token_hex(5)}"
    connection.execute(insert(pseudonym_table).values(person_id=person_id, rater=rater))
    events.append(
        connection,
        verb="person.joined",
        actor=by or rater,
        subject=rater,
        body={"role": role},
        rows=[Row("person", (person_id,))],
    )
    return get(connection, rater)


def get(connection: Connection, rater: str) -> Person:
    row = connection.execute(_select_people.where(pseudonym_table.c.rater == rater)).one_or_none()
    if row is None:
        raise NotFound(f"There is no person with the pseudonym {rater}. Check the name.")
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
    """The person with this e-mail address and password, or None.

    An unknown address takes as long as a wrong password.
    """
    row = connection.execute(
        _select_people.where(person_table.c.email == email.strip().lower())
    ).one_or_none()
    is_correct = passwords.verify_password(password, row.password if row else None)
    return _from_row(row) if row and is_correct else None


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
    """Names by rater, for leads and owners only.  Erased people are missing."""
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
    """Change a person's own account.  An empty e-mail address removes the address."""
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = _clean_name(name)
    if email is not None:
        values["email"] = _clean_email(email)
    if password is not None:
        values["password"] = password
    if values.get("email", person.email) is None and (person.has_password or password is not None):
        raise Invalid({"email": "must be given to log in with a password"})
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
            raise Conflict(
                "Another account has this e-mail address. Use another one.", field="email"
            ) from None
        events.append(
            connection,
            verb="person.changed",
            actor=person.rater,
            subject=person.rater,
            body={"fields": sorted(values)},
        )
    return get_by_id(connection, person.id)


def set_preferences(connection: Connection, person: Person, preferences: Mapping[str, Any]) -> Person:
    """Merge preferences; the value None removes a preference.  Records no event."""
    if unknown := set(preferences) - set(PREFERENCES):
        raise Invalid(
            {name: f"is not a preference; choose from {', '.join(PREFERENCES)}" for name in sorted(unknown)}
        )
    merged = {
        name: value for name, value in (person.preferences | dict(preferences)).items() if value is not None
    }
    if merged.get("theme", "light") not in ("light", "dark"):
        raise Invalid({"theme": "must be light, dark or empty"})
    if not 1 <= merged.get("daily_goal", 1) <= 10_000:
        raise Invalid({"daily_goal": "must be 1 to 10,000, or empty"})
    if len(str(merged)) > LARGEST_PREFERENCES:
        raise Invalid(
            {"keys": f"must be fewer: all preferences have at most {LARGEST_PREFERENCES:,} characters"}
        )
    connection.execute(update(person_table).where(person_table.c.id == person.id).values(preferences=merged))
    return get_by_id(connection, person.id)


def set_role(connection: Connection, person: Person, role: str | None, *, by: str) -> Person:
    if role is not None and role not in STUDIO_ROLES:
        raise Invalid({"role": f"must be one of {', '.join(STUDIO_ROLES)}, or empty"})
    if person.role == "owner" and role != "owner":
        _require_other_owner(connection, person)
    connection.execute(update(person_table).where(person_table.c.id == person.id).values(role=role))
    events.append(
        connection,
        verb="person.role",
        actor=by,
        subject=person.rater,
        body={"role": role},
        rows=[Row("person", (person.id,))],
    )
    return get_by_id(connection, person.id)


def require_role(connection: Connection, person: Person, *, was: str | None, wanted: str | None) -> None:
    """Raise Stale unless the role is the one that the user saw, or the one that the user wants."""
    query = select(person_table.c.role).where(person_table.c.id == person.id).with_for_update(key_share=True)
    role = connection.execute(query).scalar_one()
    if role not in (was, wanted):
        raise Stale(role_changed(person.name, role), current={"role": role})


def role_changed(name: str, role: str | None) -> str:
    return (
        f"Somebody else has just changed the role of {name} to {role or 'no role'}. "
        "Choose again to change it."
    )


def link_subject(connection: Connection, person: Person, subject: str) -> None:
    """Let the person log in with the OpenID Connect account `subject`."""
    connection.execute(update(person_table).where(person_table.c.id == person.id).values(subject=subject))


def link_by_email(connection: Connection, email: str, subject: str) -> Person | None:
    """Link the person with this e-mail address to the OpenID Connect account `subject`.

    Returns None when no person has the address or the person is linked already.  Also returns None when the
    person entered the address: an attacker could enter a victim's address, and the victim would then use
    the attacker's account.
    """
    conditions = (
        person_table.c.email == email.strip().lower(),
        person_table.c.email_vouched,
        person_table.c.subject.is_(None),
    )
    person_id = connection.execute(
        update(person_table).where(*conditions).values(subject=subject).returning(person_table.c.id)
    ).scalar_one_or_none()
    return None if person_id is None else get_by_id(connection, person_id)


def erase(connection: Connection, person: Person, *, by: str) -> None:
    """Delete a person; the judgements stay under the pseudonym.  Call `scrub_erased` afterwards."""
    if person.role == "owner":
        _require_other_owner(connection, person)
    connection.execute(delete(draft_table).where(draft_table.c.rater == person.rater))
    memberships = metadata.tables["membership"]
    campaign_ids = select(memberships.c.campaign_id).where(memberships.c.person_id == person.id)
    gone = [
        Row("membership", (campaign_id, person.id))
        for campaign_id in connection.execute(campaign_ids).scalars()
    ]
    # Deletes pseudonym, memberships, sessions, tokens and personal invites too (ON DELETE CASCADE).
    connection.execute(delete(person_table).where(person_table.c.id == person.id))
    events.append(
        connection,
        verb="person.erased",
        actor=by,
        subject=person.rater,
        rows=[Row("person", (person.id,)), *gone],
    )


def scrub_erased(database: Database) -> None:
    """Remove deleted personal data from the free pages of the database file."""
    personal_tables = [
        table
        for table in metadata.sorted_tables
        if any(key.column.table is person_table for key in table.foreign_keys)
    ]
    database.scrub([person_table, *personal_tables, draft_table])


# ---------------------------------------------------------------- details

_select_people = select(person_table, pseudonym_table.c.rater).join(pseudonym_table)


def _require_other_owner(connection: Connection, person: Person) -> None:
    others = (
        select(person_table.c.id)
        .where(person_table.c.role == "owner", person_table.c.id != person.id)
        .limit(1)
    )
    if connection.execute(others).first() is None:
        raise Conflict("This is the only owner of the studio. Make another person an owner first.")


def _clean_name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid({"name": f"must have 1 to {LONGEST_NAME} printable characters"})
    return name


def _clean_email(email: str | None) -> str | None:
    email = (email or "").strip().lower()
    if email and (
        len(email) > 254 or not email.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email)
    ):
        raise Invalid({"email": "must be an e-mail address, such as ada@example.org"})
    return email or None


def _from_row(row: Any) -> Person:
    return Person(
        id=row.id,
        rater=row.rater,
        name=row.name,
        email=row.email,
        email_vouched=row.email_vouched,
        role=row.role,
        preferences=dict(row.preferences),
        has_password=row.password is not None,
        created_at=row.created_at,
    )
