"""Pages for signing in and out, joining by an invite link, the first run, and the viewer's own account."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from fairlead.labels.credentials import Invite
from fairlead.labels.errors import Conflict, Invalid, StudioError
from fairlead.studio import auth, page_templates, phrases
from fairlead.studio.access_control import Anyone, Person
from fairlead.studio.auth import NotSignedIn
from fairlead.studio.entry import SignInAttempt, own_path
from fairlead.studio.errors import status_of
from fairlead.studio.services import account, sign_in
from fairlead.studio.services.sign_in import Newcomer
from fairlead.studio.state import Configured, Database, Time

router = APIRouter()

Text = Annotated[str, Form(max_length=1000)]
INPUT_ERRORS = (Invalid, Conflict, NotSignedIn)  # shown in the form; other errors have their own page
SCOPES = {
    "read": "Read campaigns, progress, runs and snapshots",
    "label": "Lease items and submit judgements",
    "lead": "Lead campaigns: items, people and snapshots",
    "owner": "Manage the people of the whole studio",
    "account": "Change your own account",
}


@router.get("/")
def home(viewer: Person) -> Response:
    """People who only label start at their work, everybody else at the list of campaigns."""
    return RedirectResponse("/campaigns" if viewer.may("viewer") else "/work", 303)


@router.get("/login")
def login_page(request: Request, viewer: Anyone, settings: Configured, next: str = "/") -> Response:
    if viewer is not None:
        return RedirectResponse(own_path(next), 303)
    return page_templates.page(
        request, "login.html", next=own_path(next), email="", error=None, oidc=settings.oidc
    )


@router.post("/login")
def log_in(
    request: Request,
    viewer: Anyone,
    attempt: SignInAttempt,
    settings: Configured,
    email: Text = "",
    password: Text = "",
    next: Text = "/",
) -> Response:
    try:
        secret = sign_in.log_in(attempt, email=email, password=password)
    except NotSignedIn as error:
        return page_templates.page(
            request,
            "login.html",
            status=422,
            next=own_path(next),
            email=email,
            error=str(error),
            oidc=settings.oidc,
        )
    response = RedirectResponse(own_path(next), 303)
    auth.set_session_cookie(response, settings, secret)
    return response


@router.post("/logout")
def log_out(viewer: Person, database: Database, settings: Configured) -> Response:
    account.log_out(database, viewer)
    response = RedirectResponse("/login", 303)
    auth.delete_session_cookie(response, settings)
    return response


@router.get("/first/{secret}")
@router.get("/join/{secret}")
def join_page(
    request: Request, secret: str, viewer: Anyone, attempt: SignInAttempt, settings: Configured
) -> Response:
    invite = sign_in.find_invite(attempt, secret)
    return _join_page(request, attempt, settings, invite, viewer)


@router.post("/first/{secret}")
@router.post("/join/{secret}")
def join(
    request: Request,
    secret: str,
    viewer: Anyone,
    attempt: SignInAttempt,
    settings: Configured,
    name: Text = "",
    email: Text = "",
    password: Text = "",
    agree: Annotated[bool, Form()] = False,
) -> Response:
    invite = sign_in.find_invite(attempt, secret)
    newcomer = Newcomer(
        name=name, email=email, password=password, agree=agree or invite.person_id is not None
    )
    try:
        session = sign_in.join(attempt, secret, viewer, newcomer)
    except INPUT_ERRORS as error:
        return _join_page(request, attempt, settings, invite, viewer, error=error, newcomer=newcomer)
    response = RedirectResponse("/", 303)
    if session is not None:
        auth.set_session_cookie(response, settings, session)
    return response


@router.get("/me")
def account_page(request: Request, viewer: Person, database: Database, now: Time) -> Response:
    page = account.get_page(database, viewer)
    return page_templates.page(
        request,
        "me.html",
        viewer,
        person=page.person,
        tokens=page.tokens,
        places=page.places,
        scopes=SCOPES,
        now=now,
    )


def _join_page(
    request: Request,
    attempt: SignInAttempt,
    settings: Configured,
    invite: Invite,
    viewer: auth.Viewer | None,
    *,
    error: StudioError | None = None,
    newcomer: Newcomer | None = None,
) -> Response:
    campaign, person = sign_in.find_invited(attempt.database, invite)
    if newcomer is not None:
        entered = {"name": newcomer.name, "email": newcomer.email}
    else:
        entered = {"name": "", "email": (person.email or "") if person else ""}
    return page_templates.page(
        request,
        "join.html",
        viewer,
        status=status_of(error),
        invite=invite,
        to=campaign,
        kind_name=phrases.KIND_NAMES[campaign.kind] if campaign else "",
        person=person,
        given=entered,
        error=str(error) if error else None,
        problems=error.problems if isinstance(error, Invalid) else {},
        oidc=settings.oidc,
        first=request.url.path.startswith("/first/"),
    )
