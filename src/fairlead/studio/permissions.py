"""One dependency for each route: `allow(least role)`.  It finds the viewer, checks CSRF, role and scope, and gives the Viewer.

    @router.get("/campaigns/{slug}/items")
    def items(slug: str, viewer: Lead, database: Database) -> ...:      # viewer.campaign is the campaign of the path

A route without it does not start: `check_routes` looks at all of them when the app is made.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from fairlead.labels import campaigns
from fairlead.labels.errors import NotAllowed, NotFound
from fairlead.studio import roles
from fairlead.studio.auth import NotSignedIn, Viewer, check_csrf, csrf_given, viewer
from fairlead.studio.roles import Least
from fairlead.studio.state import Database


class Allow:
    def __init__(self, least: Least) -> None:
        self.least = least

    def __call__(
        self,
        request: Request,
        database: Database,
        found: Annotated[Viewer | None, Depends(viewer)],
        csrf: Annotated[str, Depends(csrf_given)],
    ) -> Viewer | None:
        check_csrf(request, found, csrf)
        if self.least == "anyone":
            return found
        if found is None:
            raise NotSignedIn("log in first.")
        scope = roles.scope(self.least, request.method)
        if found.scopes is not None and scope not in found.scopes:
            raise NotAllowed(f"this token is not for that; it would need the scope {scope!r}.")
        slug = request.path_params.get("slug")
        if slug is None:
            if not found.may(self.least):
                raise NotAllowed(f"this is for {_who(self.least)}.")
            return found
        with database.read() as connection:
            one = campaigns.get(connection, slug)
        if not found.roles_in(one.id):
            raise NotFound(
                f"there is no campaign {slug!r}."
            )  # as for one that is not there: not even its name is told
        if not found.may(self.least, one.id):
            raise NotAllowed(f"in this campaign, this is for {_who(self.least)}.")
        return dataclasses.replace(found, route_campaign=one)


def allow(least: Least) -> Any:
    return Depends(Allow(least))


Anyone = Annotated[Viewer | None, allow("anyone")]
Person = Annotated[Viewer, allow("person")]
Member = Annotated[Viewer, allow("member")]
Watcher = Annotated[Viewer, allow("viewer")]
Labeller = Annotated[Viewer, allow("labeller")]
Adjudicator = Annotated[Viewer, allow("adjudicator")]
Lead = Annotated[Viewer, allow("lead")]
Owner = Annotated[Viewer, allow("owner")]


def least_role(route: APIRoute) -> Least | None:
    """What the route declares; None where it declares nothing."""
    found = [call.least for call in _calls(route.dependant) if isinstance(call, Allow)]
    assert len(found) < 2, f"{route.path} declares two least roles"
    return found[0] if found else None


def routes(app: FastAPI) -> list[RouteContext]:
    """Those with a function of ours behind them: all but static files and the OpenAPI document.  None would mean that all were missed."""
    found = [one for one in iter_route_contexts(app.routes) if isinstance(one.original_route, APIRoute)]
    assert found, "an app without routes"
    return found


def check_routes(routers: Iterable[APIRouter]) -> None:
    """Before an app has them: to ask an app for its routes builds each a second time, for which a start would wait."""
    found = [route for router in routers for route in router.routes]
    undeclared = [
        str(route) for route in found if not isinstance(route, APIRoute) or least_role(route) is None
    ]
    assert not undeclared, f"routes that say nobody's role: {', '.join(undeclared)}"


def _calls(dependant: Dependant) -> Iterator[Any]:
    for one in dependant.dependencies:
        yield one.call
        yield from _calls(one)


def _who(least: Least) -> str:
    if least == "owner":
        return "owners of the studio"
    named = [
        role for role in ("viewer", "labeller", "adjudicator", "lead") if role in roles.ROLES.get(least, ())
    ]
    return (
        " and ".join([", ".join(f"{role}s" for role in named[:-1]), f"{named[-1]}s"])
        if len(named) > 1
        else f"{named[0]}s"
    )
