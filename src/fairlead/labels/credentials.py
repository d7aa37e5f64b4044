"""Access to the studio: browser sessions, invite links and API tokens.

Each is a random secret of 256 bits.  The database stores only its SHA-256, so a stolen copy of the database
grants no access.  Random secrets need no slow hash, unlike passwords.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Integer,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from fairlead.labels import events
from fairlead.labels.database import format_time, metadata, now, parse_time
from fairlead.labels.errors import Invalid, NotFound
from fairlead.labels.members import CAMPAIGN_ROLES
from fairlead.labels.people import STUDIO_ROLES, Person

login_session_table = Table(
    "login_session",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("person_id", Integer, ForeignKey("person.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
)
invite_table = Table(
    "invite",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("campaign_id", Integer, ForeignKey("campaign.id"), index=True),  # null: a role in the whole studio
    # Set for a personal link, with which only this person can log in again.
    Column("person_id", Integer, ForeignKey("person.id", ondelete="CASCADE")),
    Column("role", String(20)),
    Column("uses_left", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("made_by", String(40), nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("revoked_at", String(27)),
)
api_token_table = Table(
    "api_token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("person_id", Integer, ForeignKey("person.id", ondelete="CASCADE"), nullable=False, index=True),
    # The token that created this one, which ends with it.  Null for a token from a browser.
    Column("parent_id", Integer, ForeignKey("api_token.id", ondelete="CASCADE"), index=True),
    Column("name", String(80), nullable=False),
    Column("start", String(12), nullable=False),  # first characters of the token, for display
    Column("scopes", JSON, nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("used_at", String(27)),  # rounded to the hour
)

SCOPES = ("read", "label", "lead", "owner", "account")
TOKEN_PREFIX = "flt_"
MAX_DAYS = 366
MAX_USES = 1000
MAX_TOKENS = 50  # per person


@dataclass(frozen=True)
class Invite:
    id: int
    # One of CAMPAIGN_ROLES with a campaign, and of STUDIO_ROLES without.  None for a personal link.
    role: str | None
    campaign_id: int | None
    person_id: int | None
    uses_left: int
    uses: int
    made_by: str
    created_at: str
    expires_at: str
    revoked_at: str | None

    def open_at(self, at: str) -> bool:
        return self.revoked_at is None and self.uses_left > 0 and at < self.expires_at


@dataclass(frozen=True)
class ApiToken:
    id: int
    person_id: int
    name: str
    start: str
    scopes: frozenset[str]
    created_at: str
    expires_at: str
    used_at: str | None


# ---------------------------------------------------------------- sessions


def start_session(connection: Connection, person: Person, *, days: int, at: str) -> str:
    """Start a session, and return the secret for the browser's cookie."""
    secret = secrets.token_urlsafe(32)
    connection.execute(delete(login_session_table).where(login_session_table.c.expires_at <= at))
    connection.execute(
        insert(login_session_table).values(
            secret_hash=_hash(secret), person_id=person.id, created_at=at, expires_at=_later(at, days=days)
        )
    )
    return secret


def find_session(connection: Connection, secret: str, *, at: str) -> tuple[int, str] | None:
    """The id of the session's person and the end of the session, or None after the end."""
    row = connection.execute(
        select(login_session_table).where(login_session_table.c.secret_hash == _hash(secret))
    ).one_or_none()
    return (row.person_id, row.expires_at) if row and at < row.expires_at else None


def extend_session(connection: Connection, secret: str, *, days: int, at: str) -> None:
    connection.execute(
        update(login_session_table)
        .where(login_session_table.c.secret_hash == _hash(secret))
        .values(expires_at=_later(at, days=days))
    )


def end_session(connection: Connection, secret: str) -> None:
    connection.execute(delete(login_session_table).where(login_session_table.c.secret_hash == _hash(secret)))


def end_sessions(connection: Connection, person: Person, *, except_secret: str | None = None) -> int:
    """End all sessions of a person, except the one with this secret.

    Returns the number of sessions ended.
    """
    query = delete(login_session_table).where(login_session_table.c.person_id == person.id)
    if except_secret is not None:
        query = query.where(login_session_table.c.secret_hash != _hash(except_secret))
    return connection.execute(query).rowcount


# ---------------------------------------------------------------- invites


def create_invite(
    connection: Connection,
    *,
    role: str | None,
    campaign_id: int | None = None,
    person_id: int | None = None,
    uses: int = 1,
    days: int = 7,
    by: str,
    at: str,
) -> tuple[Invite, str]:
    """Create an invite.  Also returns the secret of its link, which is not stored."""
    problems = {}
    roles = STUDIO_ROLES if campaign_id is None else CAMPAIGN_ROLES
    if role not in roles and not (role is None and person_id is not None):
        problems["role"] = f"must be one of: {', '.join(roles)}"
    if not 1 <= uses <= MAX_USES:
        problems["uses"] = f"must be 1 to {MAX_USES:,}"
    if not 1 <= days <= MAX_DAYS:
        problems["days"] = f"must be 1 to {MAX_DAYS}"
    if role == "owner" and uses != 1:
        problems["uses"] = "must be 1 for a link that grants the role owner"
    if problems:
        raise Invalid(problems)
    secret = secrets.token_urlsafe(32)
    values = {
        "secret_hash": _hash(secret),
        "campaign_id": campaign_id,
        "person_id": person_id,
        "role": role,
        "uses_left": uses,
        "uses": uses,
        "made_by": by,
        "created_at": at,
        "expires_at": _later(at, days=days),
    }
    invite = _invite(connection.execute(insert(invite_table).values(values).returning(invite_table)).one())
    events.append(
        connection,
        verb="invite.made",
        actor=by,
        campaign_id=campaign_id,
        subject=f"invite:{invite.id}",
        body={"role": role, "uses": uses},
    )
    return invite, secret


def find_invite(connection: Connection, secret: str, *, at: str) -> Invite:
    """Raises NotFound for an invite that does not exist or no longer works."""
    row = connection.execute(
        select(invite_table).where(invite_table.c.secret_hash == _hash(secret))
    ).one_or_none()
    if row is None or not _invite(row).open_at(at):
        raise NotFound(
            "This link no longer works: it was used already, has expired or was revoked. If you joined with "
            "it, log in, or open the studio in the browser in which you joined. Otherwise ask for a new link."
        )
    return _invite(row)


def use_invite(connection: Connection, secret: str, *, at: str) -> Invite:
    """Use an invite once.  A single statement counts the use, so two people cannot share the last one."""
    is_open = (
        invite_table.c.secret_hash == _hash(secret),
        invite_table.c.uses_left > 0,
        invite_table.c.revoked_at.is_(None),
        invite_table.c.expires_at > at,
    )
    row = connection.execute(
        update(invite_table)
        .where(*is_open)
        .values(uses_left=invite_table.c.uses_left - 1)
        .returning(invite_table)
    ).one_or_none()
    return find_invite(connection, secret, at=at) if row is None else _invite(row)


def list_invites(connection: Connection, campaign_id: int | None, *, at: str) -> list[Invite]:
    """Invites that still work, newest first: of a campaign, or of the whole studio (None)."""
    query = (
        select(invite_table)
        .where(invite_table.c.campaign_id == campaign_id, invite_table.c.person_id.is_(None))
        .order_by(invite_table.c.id.desc())
    )
    return [invite for row in connection.execute(query) if (invite := _invite(row)).open_at(at)]


def revoke_invite(
    connection: Connection, invite_id: int, campaign_id: int | None, *, by: str, at: str
) -> None:
    mine = (
        invite_table.c.id == invite_id,
        invite_table.c.campaign_id == campaign_id,
        invite_table.c.revoked_at.is_(None),
    )
    if connection.execute(update(invite_table).where(*mine).values(revoked_at=at)).rowcount == 0:
        raise NotFound("There is no such invitation, or it was already switched off. Reload the page.")
    events.append(
        connection, verb="invite.revoked", actor=by, campaign_id=campaign_id, subject=f"invite:{invite_id}"
    )


def revoke_invites_of(connection: Connection, rater: str, *, campaign_id: int | None = None, by: str) -> None:
    """Switch off the links that somebody made who no longer leads: into one campaign, or into all."""
    open_invites = (
        invite_table.c.made_by == rater,
        invite_table.c.revoked_at.is_(None),
        invite_table.c.uses_left > 0,
    )
    query = select(invite_table.c.id, invite_table.c.campaign_id).where(*open_invites)
    if campaign_id is not None:
        query = query.where(invite_table.c.campaign_id == campaign_id)
    for invite_id, invited_to in connection.execute(query).all():
        revoke_invite(connection, invite_id, invited_to, by=by, at=now())


def revoke_personal_links(connection: Connection, person: Person) -> None:
    """Switch off the links that let this person in without a password."""
    links = (invite_table.c.person_id == person.id, invite_table.c.revoked_at.is_(None))
    connection.execute(update(invite_table).where(*links).values(revoked_at=now()))


# ---------------------------------------------------------------- tokens


def create_token(
    connection: Connection,
    person: Person,
    *,
    name: str,
    scopes: Collection[str],
    days: int = 90,
    parent: ApiToken | None = None,
    by: str | None = None,
    at: str,
) -> tuple[ApiToken, str]:
    """Create an API token.  Also returns its text, which is not stored.

    A token that another one creates has no other scopes, expires no later, and is revoked with it.  `by` is
    who creates it, if that is not the person.
    """
    problems = {}
    if not 0 < len(name.strip()) <= 80 or not name.isprintable():
        problems["name"] = "must have 1 to 80 printable characters"
    if not scopes or set(scopes) - set(SCOPES):
        problems["scopes"] = f"must be one or more of: {', '.join(SCOPES)}"
    if not 1 <= days <= MAX_DAYS:
        problems["days"] = f"must be 1 to {MAX_DAYS}"
    if parent is not None and (missing := set(scopes) - parent.scopes):
        problems["scopes"] = f"cannot include {', '.join(sorted(missing))}: this token does not have it"
    if len(list_tokens(connection, person)) >= MAX_TOKENS:
        problems["name"] = f"cannot be added: you already have {MAX_TOKENS} tokens. Revoke one first"
    if problems:
        raise Invalid(problems)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    values = {
        "secret_hash": _hash(secret),
        "person_id": person.id,
        "parent_id": None if parent is None else parent.id,
        "name": name.strip(),
        "start": secret[:8],
        "scopes": sorted(set(scopes)),
        "created_at": at,
        "expires_at": _later(at, days=days)
        if parent is None
        else min(_later(at, days=days), parent.expires_at),
    }
    token = _token(
        connection.execute(insert(api_token_table).values(values).returning(api_token_table)).one()
    )
    events.append(
        connection,
        verb="token.made",
        actor=by or person.rater,
        subject=f"token:{token.id}",
        body={"scopes": values["scopes"]},
    )
    return token, secret


def find_token(connection: Connection, secret: str, *, at: str) -> ApiToken | None:
    row = connection.execute(
        select(api_token_table).where(api_token_table.c.secret_hash == _hash(secret))
    ).one_or_none()
    return _token(row) if row and at < row.expires_at else None


def touch_token(connection: Connection, token: ApiToken, *, at: str) -> None:
    """Record the last use of a token."""
    connection.execute(update(api_token_table).where(api_token_table.c.id == token.id).values(used_at=at))


def list_tokens(connection: Connection, person: Person) -> list[ApiToken]:
    """API tokens of a person, newest first, including expired ones."""
    rows = connection.execute(
        select(api_token_table)
        .where(api_token_table.c.person_id == person.id)
        .order_by(api_token_table.c.id.desc())
    )
    return [_token(row) for row in rows]


def revoke_token(connection: Connection, person: Person, token_id: int, *, by: str | None = None) -> None:
    """Revoke a token, and the tokens that it created."""
    mine = (api_token_table.c.id == token_id, api_token_table.c.person_id == person.id)
    if connection.execute(delete(api_token_table).where(*mine)).rowcount == 0:
        raise NotFound("There is no such token. Reload the page.")
    events.append(connection, verb="token.revoked", actor=by or person.rater, subject=f"token:{token_id}")


def revoke_tokens(connection: Connection, person: Person, *, except_secret: str | None = None) -> int:
    """Revoke all tokens of a person, except the one with this secret.  Returns the number revoked."""
    query = select(api_token_table.c.id).where(api_token_table.c.person_id == person.id)
    if except_secret is not None:
        kept = api_token_table.c.secret_hash == _hash(except_secret)
        connection.execute(update(api_token_table).where(kept).values(parent_id=None))
        query = query.where(~kept)
    token_ids = connection.execute(query.order_by(api_token_table.c.id)).scalars().all()
    connection.execute(delete(api_token_table).where(api_token_table.c.id.in_(token_ids)))
    for token_id in token_ids:
        events.append(connection, verb="token.revoked", actor=person.rater, subject=f"token:{token_id}")
    return len(token_ids)


# ---------------------------------------------------------------- details


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _later(at: str, *, days: int) -> str:
    return format_time(parse_time(at) + timedelta(days=days))


def _invite(row: Any) -> Invite:
    return Invite(**{name: value for name, value in row._mapping.items() if name != "secret_hash"})


def _token(row: Any) -> ApiToken:
    return ApiToken(
        id=row.id,
        person_id=row.person_id,
        name=row.name,
        start=row.start,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )
