"""Shared by routes that sign people in: the limits on attempts, and the check of the redirect target."""

from typing import Annotated

from fastapi import Depends, Request

from fairlead.studio import limits
from fairlead.studio.services.sign_in import SignIn
from fairlead.studio.state import Configured, Database, Time


def sign_in_attempt(request: Request, database: Database, settings: Configured, now: Time) -> SignIn:
    return SignIn(
        database=database,
        wrong_passwords=request.app.state.wrong_passwords,
        wrong_clients=request.app.state.wrong_clients,
        client=limits.source_of(request.client.host) if request.client else "unknown",
        session_days=settings.session_days,
        now=now,
    )


SignInAttempt = Annotated[SignIn, Depends(sign_in_attempt)]


def own_path(path: str) -> str:
    """`path` if it belongs to the studio, otherwise "/": `next` must not redirect to another site."""
    is_own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_own else "/"
