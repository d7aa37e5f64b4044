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
    PrimaryKeyConstraint,
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
from fairlead.labels.drafts import draft
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.passwords import Digest

person = Table(
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
pseudonym = Table(
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
membership = Table(
    "membership",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("person_id", Integer, ForeignKey("person.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", String(20), nullable=False),
    Column("paused_at", String(27)),
    Column("joined_at", String(27), nullable=False),  # and agreed to what the invitation said
    PrimaryKeyConstraint("campaign_id", "person_id"),
)

CAMPAIGN_ROLES = (
    "viewer",
    "labeller",
    "adjudicator",
    "lead",
)  # each next one may do more, but a viewer does not label
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


@dataclass(frozen=True)
class Member:
    rater: str
    name: str
    email: str | None
    role: str
    paused: bool
    joined_at: str


@dataclass(frozen=True)
class Membership:
    role: str
    paused: bool


# ---------------------------------------------------------------- people


def add(
    connection: Connection,
    *,
    name: str,
    email: str | None = None,
    password: Digest | None = None,
    subject: str | None = None,
    role: str | None = None,
    by: str | None = None,
) -> Person:
    """`by` is who adds them; None where they come by themselves."""
    if role is not None and role not in STUDIO_ROLES:
        raise Invalid({"role": f"is one of {', '.join(STUDIO_ROLES)}"})
    values: dict[str, Any] = {
        "name": _name(name), "email": _email(email), "email_vouched": by is not None, "subject": subject, "role": role, "preferences": {},
        "created_at": now(), "password": password,
    }  # fmt: skip
    try:
        with connection.begin_nested():
            made = connection.execute(insert(person).values(values).returning(person.c.id)).scalar_one()
    except IntegrityError:
        raise Conflict("somebody with this e-mail address is here already; log in instead.") from None
    rater = f"r-{secrets.token_hex(5)}"
    while connection.execute(select(pseudonym.c.rater).where(pseudonym.c.rater == rater)).first():
        rater = f"r-{secrets.token_hex(5)}"
    connection.execute(insert(pseudonym).values(person_id=made, rater=rater))
    events.append(connection, verb="person.joined", actor=by or rater, subject=rater, body={"role": role})
    return get(connection, rater)


def get(connection: Connection, rater: str) -> Person:
    row = connection.execute(_people.where(pseudonym.c.rater == rater)).one_or_none()
    if row is None:
        raise NotFound(f"there is nobody called {rater} here.")
    return _person(row)


def by_id(connection: Connection, person_id: int) -> Person:
    return _person(connection.execute(_people.where(person.c.id == person_id)).one())


def by_subject(connection: Connection, subject: str) -> Person | None:
    row = connection.execute(_people.where(person.c.subject == subject)).one_or_none()
    return None if row is None else _person(row)


def by_email(connection: Connection, email: str) -> Person | None:
    row = connection.execute(_people.where(person.c.email == email.strip().lower())).one_or_none()
    return None if row is None else _person(row)


def by_password(connection: Connection, email: str, password: str) -> Person | None:
    """Who logs in so, or None; as slow for an address that nobody has as for a wrong password."""
    row = connection.execute(_people.where(person.c.email == email.strip().lower())).one_or_none()
    right = passwords.right(password, row.password if row else None)
    return _person(row) if row and right else None


def has_this_password(connection: Connection, one: Person, password: str) -> bool:
    stored = connection.execute(select(person.c.password).where(person.c.id == one.id)).scalar()
    return passwords.right(password, stored)


def every(connection: Connection) -> list[Person]:
    return [
        _person(row) for row in connection.execute(_people.order_by(func.lower(person.c.name), person.c.id))
    ]


def names(connection: Connection, raters: Collection[str]) -> dict[str, str]:
    """For the eyes of leads and owners only.  Who was erased is not in it."""
    query = select(pseudonym.c.rater, person.c.name).join(person).where(pseudonym.c.rater.in_(raters))
    return {row.rater: row.name for row in connection.execute(query)}


def has_owner(connection: Connection) -> bool:
    return (
        connection.execute(select(person.c.id).where(person.c.role == "owner").limit(1)).first() is not None
    )


def change(
    connection: Connection,
    one: Person,
    *,
    name: str | None = None,
    email: str | None = None,
    password: Digest | None = None,
) -> Person:
    """What they themselves give; an empty e-mail address takes it away."""
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = _name(name)
    if email is not None:
        values["email"] = _email(email)
    if password is not None:
        values["password"] = password
    if values.get("email", one.email) is None and (one.has_password or password is not None):
        raise Invalid({"email": "is needed to log in with a password"})
    if values:
        vouched = one.email_vouched and values.get("email", one.email) == one.email
        try:
            with connection.begin_nested():
                connection.execute(
                    update(person).where(person.c.id == one.id).values(values | {"email_vouched": vouched})
                )
        except IntegrityError:
            raise Conflict("somebody else has this e-mail address.", field="email") from None
        events.append(
            connection,
            verb="person.changed",
            actor=one.rater,
            subject=one.rater,
            body={"fields": sorted(values)},
        )
    return by_id(connection, one.id)


def prefer(connection: Connection, one: Person, preferences: Mapping[str, Any]) -> Person:
    """Adds to what was preferred; None takes one away.  How a screen looks is no event."""
    if unknown := set(preferences) - set(PREFERENCES):
        raise Invalid(
            {name: f"is no preference; there are {', '.join(PREFERENCES)}" for name in sorted(unknown)}
        )
    kept = {name: value for name, value in (one.preferences | dict(preferences)).items() if value is not None}
    if kept.get("theme", "light") not in ("light", "dark"):
        raise Invalid({"theme": "is light, dark or nothing"})
    if not 1 <= kept.get("daily_goal", 1) <= 10_000:
        raise Invalid({"daily_goal": "is 1 to 10,000, or nothing"})
    if len(str(kept)) > LARGEST_PREFERENCES:
        raise Invalid({"keys": "are too many"})
    connection.execute(update(person).where(person.c.id == one.id).values(preferences=kept))
    return by_id(connection, one.id)


def set_role(connection: Connection, one: Person, role: str | None, *, by: str) -> Person:
    if role is not None and role not in STUDIO_ROLES:
        raise Invalid({"role": f"is one of {', '.join(STUDIO_ROLES)}, or nothing"})
    if one.role == "owner" and role != "owner":
        _leave_an_owner(connection, one)
    connection.execute(update(person).where(person.c.id == one.id).values(role=role))
    events.append(connection, verb="person.role", actor=by, subject=one.rater, body={"role": role})
    return by_id(connection, one.id)


def link_subject(connection: Connection, one: Person, subject: str) -> None:
    """From now on they log in elsewhere as `subject`."""
    connection.execute(update(person).where(person.c.id == one.id).values(subject=subject))


def link_by_email(connection: Connection, email: str, subject: str) -> Person | None:
    """Who has this address logs in elsewhere as `subject` from now on.  None where nobody does, where they log in there as somebody else
    already, or where the address is only their own word: anybody could have typed it in, to have its owner work in their account.
    """
    theirs = (person.c.email == email.strip().lower(), person.c.email_vouched, person.c.subject.is_(None))
    found = connection.execute(
        update(person).where(*theirs).values(subject=subject).returning(person.c.id)
    ).scalar_one_or_none()
    return None if found is None else by_id(connection, found)


def erase(connection: Connection, one: Person, *, by: str) -> None:
    """The person is gone; what they did stays under a pseudonym that leads to nobody.  `forget` afterwards."""
    if one.role == "owner":
        _leave_an_owner(connection, one)
    connection.execute(delete(draft).where(draft.c.rater == one.rater))
    connection.execute(
        delete(person).where(person.c.id == one.id)
    )  # pseudonym, memberships, sessions, tokens and own links go with it
    events.append(connection, verb="person.erased", actor=by, subject=one.rater)


def forget(database: Database) -> None:
    """Nobody who was erased is in a free corner of the database's files."""
    theirs = [
        table
        for table in metadata.sorted_tables
        if any(key.column.table is person for key in table.foreign_keys)
    ]
    database.forget([person, *theirs, draft])


# ---------------------------------------------------------------- members of a campaign


def join(connection: Connection, one: Person, campaign_id: int, role: str, *, by: str) -> None:
    """Who is there already keeps the role, unless this one may do more."""
    held = memberships(connection, one.id).get(campaign_id)
    if held is None:
        _check_role(role)
        connection.execute(
            insert(membership).values(campaign_id=campaign_id, person_id=one.id, role=role, joined_at=now())
        )
        events.append(
            connection,
            verb="member.joined",
            actor=by,
            campaign=campaign_id,
            subject=one.rater,
            body={"role": role},
        )
    elif CAMPAIGN_ROLES.index(role) > CAMPAIGN_ROLES.index(held.role):
        set_member_role(connection, campaign_id, one.rater, role, by=by)


def memberships(connection: Connection, person_id: int) -> dict[int, Membership]:
    """By campaign."""
    rows = connection.execute(select(membership).where(membership.c.person_id == person_id))
    return {row.campaign_id: Membership(row.role, row.paused_at is not None) for row in rows}


def members(connection: Connection, campaign_id: int) -> list[Member]:
    query = _members.where(membership.c.campaign_id == campaign_id).order_by(
        func.lower(person.c.name), person.c.id
    )
    return [_member(row) for row in connection.execute(query)]


def member(connection: Connection, campaign_id: int, rater: str) -> Member:
    row = connection.execute(
        _members.where(membership.c.campaign_id == campaign_id, pseudonym.c.rater == rater)
    ).one_or_none()
    if row is None:
        raise NotFound(f"{rater} is not in this campaign.")
    return _member(row)


def set_member_role(connection: Connection, campaign_id: int, rater: str, role: str, *, by: str) -> Member:
    _check_role(role)
    held = member(connection, campaign_id, rater)
    if held.role != role:
        _set(connection, campaign_id, rater, role=role)
        events.append(
            connection, verb="member.role", actor=by, campaign=campaign_id, subject=rater, body={"role": role}
        )
    return member(connection, campaign_id, rater)


def pause(connection: Connection, campaign_id: int, rater: str, *, paused: bool, by: str) -> Member:
    """Who is paused gets no new tasks; what they still send is kept."""
    held = member(connection, campaign_id, rater)
    if held.paused != paused:
        _set(connection, campaign_id, rater, paused_at=now() if paused else None)
        events.append(
            connection,
            verb="member.paused" if paused else "member.resumed",
            actor=by,
            campaign=campaign_id,
            subject=rater,
        )
    return member(connection, campaign_id, rater)


def remove(connection: Connection, campaign_id: int, rater: str, *, by: str) -> None:
    member(connection, campaign_id, rater)
    connection.execute(
        delete(membership).where(
            membership.c.campaign_id == campaign_id, membership.c.person_id == _id_of(rater)
        )
    )
    events.append(connection, verb="member.removed", actor=by, campaign=campaign_id, subject=rater)


# ---------------------------------------------------------------- details

_people = select(person, pseudonym.c.rater).join(pseudonym)
_members = (
    select(
        pseudonym.c.rater,
        person.c.name,
        person.c.email,
        membership.c.role,
        membership.c.paused_at,
        membership.c.joined_at,
    )
    .select_from(membership)
    .join(person)
    .join(pseudonym)
)


def _set(connection: Connection, campaign_id: int, rater: str, **values: Any) -> None:
    connection.execute(
        update(membership)
        .where(membership.c.campaign_id == campaign_id, membership.c.person_id == _id_of(rater))
        .values(values)
    )


def _id_of(rater: str) -> Any:
    return select(pseudonym.c.person_id).where(pseudonym.c.rater == rater).scalar_subquery()


def _leave_an_owner(connection: Connection, one: Person) -> None:
    others = select(person.c.id).where(person.c.role == "owner", person.c.id != one.id).limit(1)
    if connection.execute(others).first() is None:
        raise Conflict("this is the only owner of the studio; make somebody else an owner first.")


def _check_role(role: str) -> None:
    if role not in CAMPAIGN_ROLES:
        raise Invalid({"role": f"is one of {', '.join(CAMPAIGN_ROLES)}"})


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid({"name": f"needs 1 to {LONGEST_NAME} characters"})
    return name


def _email(email: str | None) -> str | None:
    email = (email or "").strip().lower()
    if email and (
        len(email) > 254 or not email.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email)
    ):
        raise Invalid({"email": "is not an e-mail address"})
    return email or None


def _person(row: Any) -> Person:
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


def _member(row: Any) -> Member:
    return Member(row.rater, row.name, row.email, row.role, row.paused_at is not None, row.joined_at)
