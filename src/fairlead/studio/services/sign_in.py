"""Signing in with a password, and joining with an invite link.

The API, the pages and single sign-on all use these functions, so the same rate limits apply to each.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from fairlead.labels import attempts, campaigns, credentials, members, passwords, people
from fairlead.labels.campaigns import Campaign
from fairlead.labels.credentials import Invite
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotAllowed, NotFound
from fairlead.labels.passwords import PasswordHash
from fairlead.labels.people import Person
from fairlead.studio.auth import NotSignedIn, Viewer
from fairlead.studio.limits import Limiter

UNKNOWN_IDENTITY = (
    "this sign-in does not belong to an account yet. Ask for an invite link and open it first."
    " If you have an account with a password here, ask for a link to your own account."
)


@dataclass(frozen=True)
class SignIn:
    """One attempt to sign in: where the request came from, its time, and the limits that apply to it."""

    database: Database
    wrong_passwords: Limiter  # by e-mail address and network address
    wrong_clients: Limiter  # by network address: wrong passwords and unknown links
    client: str  # network address, see `limits.source_of`
    session_days: int
    now: str


@dataclass(frozen=True)
class Identity:
    """A person as the identity provider confirmed them."""

    subject: str  # issuer and subject
    name: str
    email: str | None  # verified by the provider


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """What somebody who uses an invite link entered, or what the identity provider confirmed."""

    name: str = ""
    email: str = ""
    password: str = ""
    agree: bool = False  # consent to what is stored
    subject: str | None = None  # issuer and subject at the identity provider
    known: Person | None = None  # the account that the identity provider's subject belongs to


def log_in(attempt: SignIn, *, email: str, password: str) -> str:
    """Start a session and return its secret.  Raises NotSignedIn, and TooMany after repeated failures."""
    # The network address is part of the key: a stranger who guesses must not lock out the person.
    account = f"{email.strip().lower()} from {attempt.client}"
    attempt.wrong_passwords.begin(account, now=attempt.now)
    counted = attempt.wrong_clients.begin(attempt.client, now=attempt.now)
    with attempt.database.read() as connection:
        person = people.authenticate(connection, email, password)
    if person is None:
        raise NotSignedIn("the e-mail address or the password is wrong.")
    with attempt.database.write() as connection:
        attempt.wrong_passwords.succeeded(connection, account)
        attempts.forgive(connection, counted)
        return _start_session(connection, attempt, person)


def log_in_with_identity(attempt: SignIn, identity: Identity, *, invite_secret: str) -> str:
    """Start a session for a person from the identity provider.

    `invite_secret` is empty without an invite link.

    Raises NotAllowed for an unknown person without an invite."""
    with attempt.database.write() as connection:
        person = people.find_by_subject(connection, identity.subject)
        if person is None and identity.email is not None:
            person = people.link_by_email(connection, identity.email, identity.subject)
        if person is not None and not invite_secret:
            return _start_session(connection, attempt, person)
        email_is_taken = (
            identity.email is not None and people.find_by_email(connection, identity.email) is not None
        )
    if not invite_secret:
        raise NotAllowed(UNKNOWN_IDENTITY)
    newcomer = Newcomer(
        name=identity.name,
        email="" if email_is_taken else identity.email or "",
        agree=True,  # the page of the link asks for consent before it sends people to the provider
        subject=identity.subject,
        known=person,
    )
    secret = join(attempt, invite_secret, None, newcomer)
    assert secret is not None, "a person without a session gets a new one"
    return secret


def find_invite(attempt: SignIn, secret: str) -> Invite:
    """Raises NotFound for an unknown link.  A wrong guess counts like a wrong password."""
    attempt.wrong_clients.check(attempt.client, now=attempt.now)
    with attempt.database.read() as connection:
        try:
            return credentials.find_invite(connection, secret, at=attempt.now)
        except NotFound as error:
            unknown = error
    attempt.wrong_clients.begin(attempt.client, now=attempt.now)
    raise unknown


def find_invited(database: Database, invite: Invite) -> tuple[Campaign | None, Person | None]:
    """The campaign that an invite leads to, and the person whom it lets in, where it has them."""
    with database.read() as connection:
        campaign = None if invite.campaign_id is None else campaigns.get_by_id(connection, invite.campaign_id)
        person = None if invite.person_id is None else people.get_by_id(connection, invite.person_id)
    return campaign, person


def join(attempt: SignIn, secret: str, viewer: Viewer | None, newcomer: Newcomer) -> str | None:
    """Use an invite link.

    Returns the secret of a new session, or None when the viewer has a session already.

    A link for one person lets exactly that person in.  Other links give a role to the viewer, to the known
    account, or to an account that is created.
    """
    if viewer is not None and viewer.scopes is not None and "account" not in viewer.scopes:
        raise NotAllowed("this token needs the scope 'account' for this request.")
    invite = find_invite(attempt, secret)
    is_personal = invite.person_id is not None
    is_new = not is_personal and viewer is None and newcomer.known is None
    if not is_personal and not newcomer.agree:
        raise Invalid({"agree": "is required: without your consent nothing is stored about you"})
    if is_new:
        _check_new_account(invite, newcomer)
    password = None
    if newcomer.password and (is_personal or is_new):  # hashed before the write lock, because hashing is slow
        password = _hash_password(attempt.database, invite, newcomer)
    with attempt.database.write() as connection:
        invite = credentials.use_invite(connection, secret, at=attempt.now)
        if invite.person_id is not None:
            person = people.get_by_id(connection, invite.person_id)
            _set_credentials(connection, person, newcomer, password)
            return _start_session(connection, attempt, person)
        person = _joining_person(connection, viewer, newcomer, password)
        _give_role(connection, invite, person)
        return None if viewer is not None else _start_session(connection, attempt, person)


def _start_session(connection: Connection, attempt: SignIn, person: Person) -> str:
    return credentials.start_session(connection, person, days=attempt.session_days, at=attempt.now)


def _check_new_account(invite: Invite, newcomer: Newcomer) -> None:
    has_email = bool(newcomer.email.strip())
    has_password = bool(newcomer.password)
    if newcomer.subject is None:
        if invite.role == "owner" and not (has_email and has_password):
            missing = "password" if has_email else "email"
            raise Invalid({missing: "is required: an owner must be able to log in again"})
        if has_email and not has_password:
            raise Invalid({"password": "is required to log in with this e-mail address"})
    if has_password and not has_email:
        raise Invalid({"email": "is required to log in with a password"})


def _hash_password(database: Database, invite: Invite, newcomer: Newcomer) -> PasswordHash:
    name, email = newcomer.name, newcomer.email
    if invite.person_id is not None:
        with database.read() as connection:
            person = people.get_by_id(connection, invite.person_id)
        name = person.name
        email = email or person.email or ""
    return passwords.hash_password(newcomer.password, forbidden=(name, email))


def _set_credentials(
    connection: Connection, person: Person, newcomer: Newcomer, password: PasswordHash | None
) -> None:
    """Let the person of a personal link sign in again: with a new password, or at the identity provider."""
    known = newcomer.known
    if known is not None and known.id != person.id:
        raise Conflict(f"you are logged in as {known.name}, and this link is for {person.name}.")
    if password is not None:
        people.change(connection, person, email=newcomer.email or None, password=password)
        credentials.end_sessions(connection, person)
        credentials.revoke_tokens(connection, person)
        credentials.revoke_personal_links(connection, person)
    elif newcomer.subject is not None:
        people.link_subject(connection, person, newcomer.subject)
    elif person.email is not None:
        raise Invalid({"password": "is required: you need it to log in next time"})


def _joining_person(
    connection: Connection, viewer: Viewer | None, newcomer: Newcomer, password: PasswordHash | None
) -> Person:
    if viewer is not None:
        return people.get_by_id(connection, viewer.person)
    if newcomer.known is not None:
        return newcomer.known
    return people.add(
        connection,
        name=newcomer.name,
        email=newcomer.email or None,
        password=password,
        subject=newcomer.subject,
    )


def _give_role(connection: Connection, invite: Invite, person: Person) -> None:
    """An invite never lowers a role."""
    by = invite.made_by if invite.made_by.startswith("r-") else person.rater
    if invite.role is None:
        return
    if invite.campaign_id is not None:
        members.join(connection, person, invite.campaign_id, invite.role, by=by)
    elif _is_higher(invite.role, person.role):
        people.set_role(connection, person, invite.role, by=by)


def _is_higher(role: str, than: str | None) -> bool:
    return than is None or people.STUDIO_ROLES.index(role) > people.STUDIO_ROLES.index(than)
