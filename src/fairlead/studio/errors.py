"""What went wrong, for programs as `{"error": {"message", "field"?, "fields"?, "code"?}}`, for people as a page."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse

from fairlead.core.errors import FairleadError
from fairlead.labels.errors import Conflict, Invalid, NotAllowed, NotFound
from fairlead.studio import html
from fairlead.studio.auth import NotSignedIn, OutOfDate
from fairlead.studio.limits import TooMany

log = logging.getLogger("fairlead.studio")

STATUS: tuple[tuple[type[FairleadError], int], ...] = (
    (NotSignedIn, 401), (NotAllowed, 403), (NotFound, 404), (Conflict, 409), (Invalid, 422), (TooMany, 429), (FairleadError, 422),
)  # fmt: skip


class Error(BaseModel):
    message: str
    field: str | None = None  # the input at fault, where there is one
    fields: dict[str, str] = {}  # what is wrong with each, where there are several
    code: str | None = None  # out_of_date: the page is of a session that has ended


class ErrorBody(BaseModel):
    error: Error


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 409, 413, 422, 429)
}


def install(app: FastAPI) -> None:
    app.add_exception_handler(FairleadError, _known)
    app.add_exception_handler(RequestValidationError, _wrong_input)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, FairleadError)
    status = next(number for kind, number in STATUS if isinstance(error, kind))
    if status == 401 and not _is_api(request) and request.method == "GET":
        to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(to, safe='/')}" if to != "/" else "/login", 303)
    fields = error.problems if isinstance(error, Invalid) else {}
    headers = {"Retry-After": str(max(1, round(error.wait_s)))} if isinstance(error, TooMany) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    code = "out_of_date" if isinstance(error, OutOfDate) else None
    return _answer(
        request,
        status,
        str(error),
        field=getattr(error, "field", None),
        fields=fields,
        code=code,
        headers=headers,
    )


def _wrong_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = {
        ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]): str(one["msg"])
        for one in error.errors()
    }
    message = "; ".join(f"{name}: {why}" for name, why in problems.items())
    return _answer(request, 422, message, field=next(iter(problems), None), fields=problems)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {404: "there is no such page.", 405: "that cannot be done here."}.get(
        error.status_code, str(error.detail)
    )
    return _answer(request, error.status_code, message, headers=error.headers or {})


def _bug(request: Request, error: Exception) -> Response:
    """The server's log has the traceback, which says nothing of what people sent."""
    return _answer(
        request,
        500,
        "something went wrong in the studio, and was written to its log. Nothing that you sent was half kept.",
    )


def _answer(
    request: Request,
    status: int,
    message: str,
    *,
    field: str | None = None,
    fields: Mapping[str, str] | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    if _is_api(request):
        body = ErrorBody(error=Error(message=message, field=field, fields=dict(fields or {}), code=code))
        return JSONResponse(body.model_dump(exclude_defaults=True), status, headers=headers)
    title = {401: "Log in first", 403: "Not for you", 404: "Not found", 429: "A moment, please"}.get(
        status, HTTPStatus(status).phrase
    )
    return html.page(
        request,
        "error.html",
        status=status,
        headers=headers,
        title=title,
        message=message[:1].upper() + message[1:],
    )


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/static/"))
