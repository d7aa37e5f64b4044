"""The door: home by role, logging in and out, joining by a link, the first run, and one's own page."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from fairlead.labels import access, campaigns, people
from fairlead.labels.access import Invite
from fairlead.labels.errors import Conflict, Invalid, StudioError
from fairlead.studio import auth, entry, html
from fairlead.studio.auth import NotSignedIn
from fairlead.studio.permissions import Anyone, Person
from fairlead.studio.state import Configured, Database, Time

router = APIRouter()

Text = Annotated[str, Form(max_length=1000)]
INPUT_ERRORS = (Invalid, Conflict, NotSignedIn)  # said beside the form; others have their own page


@router.get("/")
def home(viewer: Person) -> Response:
    """Who labels and does nothing else is taken to work; others to the campaigns."""
    return RedirectResponse("/campaigns" if viewer.may("viewer") else "/work", 303)


@router.get("/login")
def login_page(request: Request, viewer: Anyone, settings: Configured, next: str = "/") -> Response:
    if viewer is not None:
        return RedirectResponse(own_path(next), 303)
    return html.page(request, "login.html", next=own_path(next), email="", error=None, oidc=settings.oidc)


@router.post("/login")
def log_in(
    request: Request,
    viewer: Anyone,
    database: Database,
    settings: Configured,
    at: Time,
    email: Text = "",
    password: Text = "",
    next: Text = "/",
) -> Response:
    try:
        secret = entry.log_in(
            request, database, email=email, password=password, days=settings.session_days, at=at
        )
    except NotSignedIn as error:
        return html.page(
            request,
            "login.html",
            status=422,
            next=own_path(next),
            email=email,
            error=str(error),
            oidc=settings.oidc,
        )
    response = RedirectResponse(own_path(next), 303)
    auth.sign_in(response, settings, secret)
    return response


@router.post("/logout")
def log_out(viewer: Person, database: Database, settings: Configured) -> Response:
    with database.write() as connection:
        access.end_session(connection, viewer.secret)
    response = RedirectResponse("/login", 303)
    auth.sign_out(response, settings)
    return response


@router.get("/first/{secret}")
@router.get("/join/{secret}")
def join_page(
    request: Request, secret: str, viewer: Anyone, database: Database, settings: Configured, at: Time
) -> Response:
    return _join_page(request, database, settings, entry.look_up(request, database, secret, at=at), viewer)


@router.post("/first/{secret}")
@router.post("/join/{secret}")
def join(
    request: Request,
    secret: str,
    viewer: Anyone,
    database: Database,
    settings: Configured,
    at: Time,
    name: Text = "",
    email: Text = "",
    password: Text = "",
    agree: Annotated[bool, Form()] = False,
) -> Response:
    found = entry.look_up(request, database, secret, at=at)
    try:
        made = entry.join(
            request, database, secret, viewer, name=name, email=email, password=password, agree=agree or found.person_id is not None,
            days=settings.session_days, at=at,
        )  # fmt: skip
    except INPUT_ERRORS as error:
        return _join_page(
            request, database, settings, found, viewer, error=error, given={"name": name, "email": email}
        )
    response = RedirectResponse("/", 303)
    if made is not None:
        auth.sign_in(response, settings, made)
    return response


@router.get("/me")
def me(request: Request, viewer: Person, database: Database, at: Time) -> Response:
    with database.read() as connection:
        one = people.get_by_id(connection, viewer.person)
        tokens = access.list_tokens(connection, one)
        places = [
            (each, viewer.memberships[each.id])
            for each in campaigns.list_all(connection, ids=list(viewer.memberships))
        ]
    return html.page(
        request, "me.html", viewer, person=one, tokens=tokens, places=places, scopes=SCOPES, now=at
    )


SCOPES = {
    "read": "Read campaigns, progress, runs and snapshots",
    "label": "Take tasks and send judgements",
    "lead": "Lead campaigns: items, people, snapshots",
    "owner": "Rule over people of the whole studio",
    "account": "Change your own account",
}


def _join_page(
    request: Request,
    database: Database,
    settings: Configured,
    found: Invite,
    viewer: auth.Viewer | None,
    *,
    error: StudioError | None = None,
    given: dict[str, str] | None = None,
) -> Response:
    with database.read() as connection:
        campaign = None if found.campaign_id is None else campaigns.get_by_id(connection, found.campaign_id)
        person = None if found.person_id is None else people.get_by_id(connection, found.person_id)
    given = given or {"name": "", "email": (person.email or "") if person else ""}
    problems = error.problems if isinstance(error, Invalid) else {}
    return html.page(
        request, "join.html", viewer, status=422 if error else 200, invite=found, to=campaign, person=person, given=given,
        error=str(error) if error else None, problems=problems, oidc=settings.oidc, first=request.url.path.startswith("/first/"),
    )  # fmt: skip


def own_path(path: str) -> str:
    """A path of the studio itself; where `next` says anything else, home."""
    return (
        path
        if path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
        else "/"
    )
