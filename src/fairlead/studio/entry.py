"""The ways in: by password, and by a link.  The API and the pages both come through here, so that the same limits hold for both."""

from fastapi import Request

from fairlead.labels import access, members, passwords, people
from fairlead.labels.access import Invite
from fairlead.labels.database import Database
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.passwords import PasswordHash
from fairlead.labels.people import Person
from fairlead.studio.auth import NotSignedIn, Viewer
from fairlead.studio.limits import Limiter


def log_in(request: Request, database: Database, *, email: str, password: str, days: int, at: str) -> str:
    """The secret of the new session.  Who is wrong too often waits."""
    addresses, clients = _limiters(request)
    address, client = email.strip().lower(), client_of(request)
    addresses.check(address)
    clients.check(client)
    with database.read() as connection:
        one = people.authenticate(connection, email, password)
    if one is None:
        addresses.failed(address)
        clients.failed(client)
        raise NotSignedIn("the e-mail address or the password is wrong.")
    addresses.succeeded(address)
    with database.write() as connection:
        return access.start_session(connection, one, days=days, at=at)


def look_up(request: Request, database: Database, secret: str, *, at: str) -> Invite:
    """What a link is for; guessing costs as much as a wrong password."""
    _, clients = _limiters(request)
    clients.check(client_of(request))
    with database.read() as connection:
        try:
            return access.find_invite(connection, secret, at=at)
        except NotFound:
            clients.failed(client_of(request))
            raise


def join(
    request: Request,
    database: Database,
    secret: str,
    viewer: Viewer | None,
    *,
    known: Person | None = None,
    name: str = "",
    email: str = "",
    password: str = "",
    agree: bool = False,
    subject: str | None = None,
    days: int,
    at: str,
) -> str | None:
    """Uses the link: as who has logged in (here, or `known` from elsewhere) or as somebody new.

    Returns the secret of a new session, None where there is one.
    """
    asked = look_up(request, database, secret, at=at)
    theirs, new = asked.person_id is not None, asked.person_id is None and viewer is None and known is None
    if not theirs and not agree:
        raise Invalid({"agree": "needs your consent; without it nothing is stored about you"})
    if new:
        _check_somebody_new(asked, email, password, subject)
    chosen = _hashed(database, asked, name, email, password) if password and (theirs or new) else None
    with database.write() as connection:
        found = access.use_invite(connection, secret, at=at)
        if found.person_id is not None:
            one = people.get_by_id(connection, found.person_id)
            if known is not None and known.id != one.id:
                raise Conflict(f"you are here already, as {known.name}, and this link is for {one.name}.")
            if chosen is not None:
                people.change(connection, one, email=email or None, password=chosen)
                access.end_sessions(connection, one)
            elif subject is not None:
                people.link_subject(connection, one, subject)
            elif one.email is not None:
                raise Invalid({"password": "is needed: it is how you come in next time"})
            return access.start_session(connection, one, days=days, at=at)
        if viewer is not None:
            known = people.get_by_id(connection, viewer.person)
        one = known or people.add(
            connection, name=name, email=email or None, password=chosen, subject=subject
        )
        by = found.made_by if found.made_by.startswith("r-") else one.rater
        if found.campaign_id is not None and found.role is not None:
            members.join(connection, one, found.campaign_id, found.role, by=by)
        elif found.role is not None and _more(found.role, one.role):
            people.set_role(connection, one, found.role, by=by)
        return None if viewer is not None else access.start_session(connection, one, days=days, at=at)


def client_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _check_somebody_new(asked: Invite, email: str, password: str, subject: str | None) -> None:
    if asked.role == "owner" and subject is None and not (email.strip() and password):
        raise Invalid(
            {"email" if not email.strip() else "password": "is needed: an owner has to be able to come back"}
        )
    if password and not email.strip():
        raise Invalid({"email": "is needed to log in with a password"})
    if email.strip() and not password and subject is None:
        raise Invalid({"password": "is needed to log in with this e-mail address"})


def _hashed(database: Database, asked: Invite, name: str, email: str, password: str) -> PasswordHash:
    if asked.person_id is not None:
        with database.read() as connection:
            one = people.get_by_id(connection, asked.person_id)
        name, email = one.name, email or one.email or ""
    return passwords.hash_password(password, forbidden=(name, email))


def _more(role: str, than: str | None) -> bool:
    return than is None or people.STUDIO_ROLES.index(role) > people.STUDIO_ROLES.index(than)


def _limiters(request: Request) -> tuple[Limiter, Limiter]:
    return request.app.state.wrong_passwords, request.app.state.wrong_clients
