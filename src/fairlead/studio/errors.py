"""Error responses: a page for people, and JSON for programs.

The JSON is `{"error": {"message", "field"?, "fields"?, "code"?, "current"?}}`.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse

from fairlead.core.errors import FairleadError
from fairlead.labels.errors import Conflict, Invalid, NotAllowed, NotFound, Stale
from fairlead.studio import page_templates
from fairlead.studio.auth import NotSignedIn, OutOfDate
from fairlead.studio.limits import TooMany

log = logging.getLogger("fairlead.studio")

# The first class that matches counts, so base classes come last.
STATUS: tuple[tuple[type[FairleadError], int], ...] = (
    (NotSignedIn, 401),
    (NotAllowed, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Invalid, 422),
    (TooMany, 429),
    (FairleadError, 422),
)
HTTP_MESSAGES = {404: "there is no such page.", 405: "this method is not allowed here."}
UNKNOWN_FIELD = "is not known here; check its spelling, or leave it out"
TITLES = {401: "Log in first", 403: "Not allowed", 404: "Not found", 429: "Too many attempts"}


class Error(BaseModel):
    message: str
    field: str | None = None  # the invalid input, when there is exactly one
    fields: dict[str, str] = {}  # input -> what is wrong with it
    # "out_of_date": the page belongs to a session that has ended.  "stale": see `current`
    code: str | None = None
    current: dict[str, Any] = {}  # what somebody else has changed meanwhile: field -> value now


class ErrorBody(BaseModel):
    error: Error


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 409, 413, 422, 429)
}


def install(app: FastAPI) -> None:
    app.add_exception_handler(FairleadError, _handle_fairlead_error)
    app.add_exception_handler(RequestValidationError, _handle_invalid_request)
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(Exception, _handle_bug)


def status_of(error: FairleadError | None) -> int:
    """The HTTP status of a response that shows this error; 200 without one."""
    if error is None:
        return 200
    return next(status for kind, status in STATUS if isinstance(error, kind))


def _handle_fairlead_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FairleadError)
    status = status_of(error)
    if status == 401 and not _is_api(request) and request.method == "GET":
        return _redirect_to_login(request)
    body = Error(
        message=str(error),
        field=getattr(error, "field", None),
        fields=dict(error.problems) if isinstance(error, Invalid) else {},
        code=_code(error),
        current=error.current if isinstance(error, Stale) else {},
    )
    headers = {"Retry-After": str(max(1, round(error.wait_s)))} if isinstance(error, TooMany) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _respond(request, status, body, headers)


def _code(error: FairleadError) -> str | None:
    if isinstance(error, OutOfDate):
        return "out_of_date"
    return "stale" if isinstance(error, Stale) else None


def _handle_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = {
        ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0]): UNKNOWN_FIELD
        if problem["type"] == "extra_forbidden"
        else str(problem["msg"])
        for problem in error.errors()
    }
    message = "; ".join(f"{name}: {why}" for name, why in problems.items())
    return _respond(request, 422, Error(message=message, field=next(iter(problems), None), fields=problems))


def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = HTTP_MESSAGES.get(error.status_code, str(error.detail))
    return _respond(request, error.status_code, Error(message=message), error.headers)


def _handle_bug(request: Request, error: Exception) -> Response:
    """The server logs the traceback, which contains nothing that people sent."""
    message = (
        "something went wrong in the studio. The error was logged, and nothing of this request was stored."
    )
    return _respond(request, 500, Error(message=message))


def _respond(
    request: Request, status: int, error: Error, headers: Mapping[str, str] | None = None
) -> Response:
    if _is_api(request):
        return JSONResponse(ErrorBody(error=error).model_dump(exclude_defaults=True), status, headers=headers)
    return page_templates.page(
        request,
        "error.html",
        status=status,
        login=_login_url(_referring_page(request)) if status == 401 else None,
        headers=headers,
        title=TITLES.get(status, HTTPStatus(status).phrase),
        message=error.message[:1].upper() + error.message[1:],
    )


def _redirect_to_login(request: Request) -> Response:
    return RedirectResponse(_login_url(_path_of(str(request.url))), 303)


def _referring_page(request: Request) -> str:
    """The page that sent the request, as a path within the studio."""
    return _path_of(request.headers.get("referer", "")).removeprefix(request.app.state.settings.path)


def _path_of(url: str) -> str:
    """The path and the query of a URL."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _login_url(target: str) -> str:
    """The page to log in, which then opens the target."""
    return f"/login?next={quote(target, safe='/')}" if target not in ("", "/") else "/login"


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/static/"))
