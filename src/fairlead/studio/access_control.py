"""Access control of routes.  Every route declares the least role it needs with one parameter:

    @router.get("/campaigns/{slug}/items")
    def search(slug: str, viewer: Lead, database: Database) -> ...:      # viewer.campaign is {slug}

The dependency finds the viewer and checks the CSRF token, the role and the token's scope.
`check_routes` refuses to build an app with a route that declares no role.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from fairlead.labels import campaigns
from fairlead.labels.errors import NotAllowed
from fairlead.studio import roles
from fairlead.studio.auth import NotSignedIn, Viewer, check_csrf, find_viewer, read_csrf_token
from fairlead.studio.roles import Least
from fairlead.studio.state import Database


class Allow:
    """The dependency behind `Lead`, `Labeller` and the other aliases below."""

    def __init__(self, least: Least) -> None:
        self.least = least

    def __call__(
        self,
        request: Request,
        database: Database,
        viewer: Annotated[Viewer | None, Depends(find_viewer)],
        csrf_token: Annotated[str, Depends(read_csrf_token)],
    ) -> Viewer | None:
        check_csrf(request, viewer, csrf_token)
        if self.least == "anyone":
            return viewer
        if viewer is None:
            raise NotSignedIn("log in first.")
        scope = roles.required_scope(self.least, request.method)
        if viewer.scopes is not None and scope not in viewer.scopes:
            raise NotAllowed(f"this token needs the scope {scope!r} for this request.")
        slug = request.path_params.get("slug")
        if slug is None:
            if not viewer.may(self.least):
                raise NotAllowed(f"this is for {_describe(self.least)} only.")
            return viewer
        with database.read() as connection:
            campaign = campaigns.get(connection, slug)
        if not viewer.roles_in(campaign.id):
            raise campaigns.unknown_campaign(slug)
        if not viewer.may(self.least, campaign.id):
            raise NotAllowed(f"in this campaign, this is for {_describe(self.least)} only.")
        return dataclasses.replace(viewer, route_campaign=campaign)


def allow(least: Least) -> Any:
    return Depends(Allow(least))


Anyone = Annotated[Viewer | None, allow("anyone")]
Person = Annotated[Viewer, allow("person")]
Member = Annotated[Viewer, allow("member")]
Watcher = Annotated[Viewer, allow("viewer")]
Unblinded = Annotated[Viewer, allow("unblinded")]
Labeller = Annotated[Viewer, allow("labeller")]
Adjudicator = Annotated[Viewer, allow("adjudicator")]
Lead = Annotated[Viewer, allow("lead")]
Owner = Annotated[Viewer, allow("owner")]


def least_role(route: APIRoute) -> Least | None:
    """The role that a route declares, or None."""
    declared = [call.least for call in _dependency_calls(route.dependant) if isinstance(call, Allow)]
    assert len(declared) < 2, f"{route.path} declares two roles"
    return declared[0] if declared else None


def routes(app: FastAPI) -> list[RouteContext]:
    """Routes with a function of the studio behind them: all but static files and the OpenAPI document."""
    contexts = [
        context for context in iter_route_contexts(app.routes) if isinstance(context.original_route, APIRoute)
    ]
    assert contexts, "an app without routes"
    return contexts


def check_routes(routers: Iterable[APIRouter]) -> None:
    """Fail when a route declares no role.

    Call it before the app includes the routers: asking the app for its routes builds each of them twice.
    """
    undeclared = [
        str(route)
        for router in routers
        for route in router.routes
        if not isinstance(route, APIRoute) or least_role(route) is None
    ]
    assert not undeclared, f"routes that declare no role: {', '.join(undeclared)}"


def _dependency_calls(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _dependency_calls(dependency)


def _describe(least: Least) -> str:
    """The people who have the role, for an error message: "adjudicators and leads"."""
    if least == "owner":
        return "owners of the studio"
    if least == "unblinded":
        return "leads, and viewers who do not label"
    names = [
        f"{role}s"
        for role in ("viewer", "labeller", "adjudicator", "lead")
        if role in roles.ROLES.get(least, ())
    ]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
