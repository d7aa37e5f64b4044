"""Every route and everybody who may come: who gets in, and who does not.

ROUTES is written by hand and says of each route for whom it is; a route that is not in it fails.  Everybody
asks for everything, with empty bodies and names of things that are not there: who may gets an answer about
these, who may not gets 401, 403 or "no campaign".
"""

import re
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

import web
from fairlead.labels import campaigns, credentials, members, people
from fairlead.labels.database import Database
from fairlead.labels.people import Person
from fairlead.studio import access_control

pytestmark = pytest.mark.slow  # real processes, or every route for every role

ROUTES = {
    # anyone
    "POST /api/v1/session": "anyone",
    "POST /api/v1/join": "anyone",
    "GET /login": "anyone",
    "POST /login": "anyone",
    "GET /join/{secret}": "anyone",
    "POST /join/{secret}": "anyone",
    "GET /first/{secret}": "anyone",
    "POST /first/{secret}": "anyone",
    # whoever has logged in
    "DELETE /api/v1/session": "person",
    "DELETE /api/v1/me/sessions": "person",
    "GET /api/v1/me": "person",
    "PATCH /api/v1/me": "person",
    "PUT /api/v1/me/preferences": "person",
    "GET /api/v1/me/tokens": "person",
    "GET /api/v1/me/data": "person",
    "POST /api/v1/me/tokens": "person",
    "DELETE /api/v1/me/tokens/{token_id}": "person",
    "POST /api/v1/me/erase": "person",
    "GET /api/v1/events": "person",
    "GET /api/v1/events/list": "person",
    "GET /": "person",
    "GET /me": "person",
    "GET /work": "person",
    "POST /logout": "person",
    # whoever has a part in the campaign
    "GET /c/{slug}": "member",
    "GET /api/v1/campaigns/{slug}/guidelines": "member",
    "GET /api/v1/campaigns/{slug}/guidelines/{version}/diff": "member",
    "GET /c/{slug}/guidelines": "member",
    # who labels
    "GET /api/v1/work": "labeller",
    "POST /api/v1/campaigns/{slug}/next": "labeller",
    "GET /api/v1/campaigns/{slug}/tasks/{token}": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/heartbeat": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/release": "labeller",
    "PUT /api/v1/campaigns/{slug}/tasks/{token}/draft": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/judgement": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/skip": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/flag": "labeller",
    "POST /api/v1/campaigns/{slug}/undo": "labeller",
    "GET /api/v1/campaigns/{slug}/drafts": "labeller",
    "GET /api/v1/campaigns/{slug}/answers": "labeller",
    "POST /api/v1/campaigns/{slug}/left-behind": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/take-over": "labeller",
    "GET /api/v1/campaigns/{slug}/guide": "labeller",
    "POST /api/v1/campaigns/{slug}/guide/read": "labeller",
    "POST /api/v1/campaigns/{slug}/preview": "labeller",
    "GET /c/{slug}/label": "labeller",
    "GET /c/{slug}/answers": "labeller",
    "GET /api/v1/campaigns/{slug}/tasks/{token}/chat": "labeller",
    "POST /api/v1/campaigns/{slug}/tasks/{token}/chat/turns": "labeller",
    "GET /api/v1/campaigns/{slug}/tasks/{token}/chat/turns/{n}/stream": "labeller",
    "PUT /api/v1/campaigns/{slug}/tasks/{token}/chat/turns/{n}/choice": "labeller",
    # who watches
    "GET /api/v1/campaigns/{slug}/progress": "viewer",
    "GET /api/v1/campaigns/{slug}/flags": "viewer",
    "GET /c/{slug}/figures": "viewer",
    "GET /api/v1/runs": "unblinded",
    "GET /api/v1/runs/{run}": "unblinded",
    "GET /api/v1/runs/{run}/metrics": "unblinded",
    "GET /api/v1/artifacts": "unblinded",
    "GET /api/v1/artifacts/{kind}/{name}": "unblinded",
    "GET /api/v1/lineage/{kind}/{name}": "unblinded",
    "GET /runs": "unblinded",
    "GET /runs/now": "unblinded",
    "GET /runs/report": "unblinded",
    "GET /runs/{run}": "unblinded",
    "GET /runs/{run}/now": "unblinded",
    "GET /runs/{run}/{file}": "unblinded",
    "GET /artifacts/{kind}/{name}": "unblinded",
    "GET /artifacts/{kind}/{name}/{file:path}": "unblinded",
    "GET /lineage/{kind}/{name}": "unblinded",
    "GET /api/v1/campaigns": "viewer",
    "GET /api/v1/campaigns/{slug}": "viewer",
    "GET /api/v1/campaigns/{slug}/snapshots": "unblinded",
    "GET /api/v1/campaigns/{slug}/snapshots/{name}": "unblinded",
    "GET /api/v1/campaigns/{slug}/snapshots/{name}/files/{file}": "unblinded",
    "GET /campaigns": "viewer",
    "GET /c/{slug}/snapshots": "unblinded",
    "GET /c/{slug}/snapshots/{name}": "unblinded",
    # who leads the campaign
    "POST /api/v1/campaigns/{slug}/flags/{flag_id}/resolve": "adjudicator",
    "POST /api/v1/campaigns/{slug}/held/{token}/take-back": "lead",
    "POST /api/v1/campaigns/{slug}/items/{item_id}/hand-back": "lead",
    "POST /api/v1/campaigns/{slug}/items/{item_id}/enough": "lead",
    "GET /api/v1/campaigns/{slug}/people": "lead",
    "PATCH /api/v1/campaigns/{slug}/people/{rater}": "lead",
    "DELETE /api/v1/campaigns/{slug}/people/{rater}": "lead",
    "GET /api/v1/campaigns/{slug}/invites": "lead",
    "POST /api/v1/campaigns/{slug}/invites": "lead",
    "DELETE /api/v1/campaigns/{slug}/invites/{invite_id}": "lead",
    "GET /c/{slug}/people": "lead",
    "GET /api/v1/campaigns/{slug}/answerers": "lead",
    "PUT /api/v1/campaigns/{slug}/answerers": "lead",
    "POST /api/v1/campaigns": "lead",
    "PATCH /api/v1/campaigns/{slug}": "lead",
    "POST /api/v1/campaigns/{slug}/state": "lead",
    "POST /api/v1/campaigns/{slug}/guidelines": "lead",
    "POST /api/v1/markdown": "lead",
    "POST /api/v1/uploads": "lead",
    "GET /api/v1/uploads/{upload_id}": "lead",
    "GET /api/v1/uploads/{upload_id}/columns": "lead",
    "GET /api/v1/rollouts": "lead",
    "POST /api/v1/imports/preview": "lead",
    "POST /api/v1/campaigns/{slug}/imports": "lead",
    "POST /api/v1/campaigns/{slug}/items": "lead",
    "GET /api/v1/campaigns/{slug}/items": "lead",
    "GET /api/v1/campaigns/{slug}/items/{item_id}": "adjudicator",
    "PATCH /api/v1/campaigns/{slug}/items/{item_id}": "lead",
    "GET /api/v1/campaigns/{slug}/jobs": "lead",
    "GET /api/v1/campaigns/{slug}/jobs/{job_id}": "lead",
    "POST /api/v1/campaigns/{slug}/jobs/{job_id}/cancel": "lead",
    "POST /api/v1/campaigns/{slug}/jobs/{job_id}/retry": "lead",
    "GET /api/v1/campaigns/{slug}/jobs/{job_id}/problems": "lead",
    "GET /api/v1/campaigns/{slug}/jobs/{job_id}/set-aside.jsonl": "lead",
    "POST /api/v1/campaigns/{slug}/snapshots": "lead",
    "GET /api/v1/campaigns/{slug}/export": "lead",
    "POST /api/v1/campaigns/{slug}/items/archive": "lead",
    "POST /api/v1/campaigns/{slug}/items/restore": "lead",
    "POST /api/v1/campaigns/{slug}/items/delete": "lead",
    "POST /api/v1/campaigns/{slug}/reservations": "lead",
    "DELETE /api/v1/campaigns/{slug}/reservations/{rater}": "lead",
    "POST /c/{slug}/items": "lead",
    "POST /api/v1/campaigns/{slug}/copy": "lead",
    "POST /api/v1/campaigns/{slug}/archive": "lead",
    "POST /api/v1/campaigns/{slug}/delete": "lead",
    "GET /c/{slug}/columns": "lead",
    "POST /c/{slug}/columns": "lead",
    "POST /api/v1/campaigns/{slug}/snapshots/preview": "lead",
    "GET /c/{slug}/items": "lead",
    "GET /c/{slug}/items/{item_id}": "adjudicator",
    "GET /c/{slug}/jobs/{job_id}": "lead",
    "POST /c/{slug}/uploads": "lead",
    "GET /c/{slug}/add": "lead",
    "POST /c/{slug}/add": "lead",
    "POST /markdown": "lead",
    "GET /c/{slug}/settings": "lead",
    "POST /c/{slug}/answerers": "lead",
    "GET /c/{slug}/snapshots-preview": "lead",
    "GET /new": "lead",
    "POST /new/uploads": "lead",
    "GET /new/kind": "lead",
    "GET /new/columns": "lead",
    "POST /new/columns": "lead",
    "GET /new/task": "lead",
    "POST /new": "lead",
    # who owns the studio
    "GET /api/v1/people": "owner",
    "POST /api/v1/people": "owner",
    "POST /api/v1/people/{rater}/link": "owner",
    "PATCH /api/v1/people/{rater}": "owner",
    "POST /api/v1/people/{rater}/erase": "owner",
    "GET /api/v1/invites": "owner",
    "POST /api/v1/invites": "owner",
    "DELETE /api/v1/invites/{invite_id}": "owner",
    "GET /people": "owner",
    "GET /api/v1/webhooks": "owner",
    "POST /api/v1/webhooks": "owner",
    "PATCH /api/v1/webhooks/{webhook_id}": "owner",
    "POST /api/v1/webhooks/{webhook_id}/test": "owner",
    "DELETE /api/v1/webhooks/{webhook_id}": "owner",
    "GET /webhooks": "owner",
}

HERE = {  # in the campaign "here", or in no campaign
    "anyone": {
        "none",
        "nobody",
        "viewer",
        "labeller",
        "paused",
        "adjudicator",
        "lead",
        "everywhere viewer",
        "everywhere lead",
        "owner",
    },
    "person": {
        "nobody",
        "viewer",
        "labeller",
        "paused",
        "adjudicator",
        "lead",
        "everywhere viewer",
        "everywhere lead",
        "owner",
    },
    "member": {
        "viewer",
        "labeller",
        "paused",
        "adjudicator",
        "lead",
        "everywhere viewer",
        "everywhere lead",
        "owner",
    },
    "viewer": {"viewer", "adjudicator", "lead", "everywhere viewer", "everywhere lead", "owner"},
    "unblinded": {"viewer", "lead", "everywhere viewer", "everywhere lead", "owner"},
    "labeller": {"labeller", "paused", "adjudicator", "lead", "everywhere lead", "owner"},
    "adjudicator": {"adjudicator", "lead", "everywhere lead", "owner"},
    "lead": {"lead", "everywhere lead", "owner"},
    "owner": {"owner"},
}
ELSEWHERE = {  # what members of another campaign may, where no campaign is named
    "labeller elsewhere": {"anyone", "person", "labeller"},
    "lead elsewhere": {"anyone", "person", "viewer", "unblinded", "labeller", "lead"},
}
EVERYBODY = sorted(HERE["anyone"]) + sorted(ELSEWHERE)
THERE = {"slug": "here", "rater": "r-ffffffffff", "kind": "model", "n": "1"}
NUMBERS = ("token_id", "flag_id", "invite_id", "item_id", "job_id", "upload_id", "version", "webhook_id")


def may(who: str, route: str) -> bool:
    least = ROUTES[route]
    if who not in ELSEWHERE:
        return who in HERE[least]
    return least in (ELSEWHERE[who] if "{slug}" not in route else {"anyone", "person"})


def scope_of(route: str) -> str:
    """What a token has to be for."""
    method, least = route.split(" ")[0], ROUTES[route]
    if least == "anyone":
        return "any"
    if least == "labeller":
        return "label"
    if method == "GET":
        return "read"
    return {"person": "account", "adjudicator": "lead", "lead": "lead", "owner": "owner"}[
        least
    ]  # a change by members or viewers would need a scope of its own


# Of what a token is for, and of pages' tokens, no database knows anything: once is enough.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def come(app: FastAPI, database: Database) -> Callable[[str], Person | None]:
    """Somebody new of a kind: a request may end what a person is, so that each comes once."""
    with database.write() as connection:
        ids = {
            name: campaigns.create(
                connection, campaigns.CampaignSettings(name=name, slug=name, kind="pairwise"), by="system"
            ).id
            for name in ("here", "elsewhere")
        }
        people.add(connection, name="Who stays the owner", role="owner")

    def made(who: str) -> Person | None:
        if who == "none":
            return None
        everywhere = {"everywhere viewer": "viewer", "everywhere lead": "lead", "owner": "owner"}
        with database.write() as connection:
            one = people.add(connection, name=who, role=everywhere.get(who))
            role, _, where = who.partition(" ")
            if who not in everywhere and who != "nobody":
                campaign = ids["elsewhere" if where else "here"]
                members.join(connection, one, campaign, "labeller" if role == "paused" else role, by="system")
                if role == "paused":
                    members.set_paused(connection, campaign, one.rater, paused=True, by="system")
        return one

    return made


def ask(client: httpx.Client, route: str) -> httpx.Response:
    method, path = route.split(" ")
    return client.request(
        method,
        re.sub(
            r"\{(\w+)(:path)?\}",
            lambda name: "999" if name[1] in NUMBERS else THERE.get(name[1], "none"),
            path,
        ),
    )


def got_in(answer: httpx.Response) -> bool:
    """401 and the way to the log-in mean no, so does 403, and so does a campaign that is not there, for this
    one is.
    """
    to_the_log_in = answer.request.method == "GET" and answer.headers.get("location", "").startswith("/login")
    if answer.status_code in (401, 403) or to_the_log_in:
        return False
    assert answer.status_code < 500, answer.text
    return not (answer.status_code == 404 and "no campaign" in answer.text)


@ONE_DATABASE
def test_no_route_is_missing(app: FastAPI) -> None:
    there = {
        f"{method} {route.path}" for route in access_control.routes(app) for method in route.methods or ()
    }
    assert sorted(there) == sorted(ROUTES)


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_and_who_may_not(
    app: FastAPI, database: Database, come: Callable[[str], Person | None], who: str
) -> None:
    app.state.live.close()  # streams end at once
    found = {}
    for route in ROUTES:
        one = come(who)
        client = web.stranger(app) if one is None else web.browser(app, database, one)
        found[route] = got_in(ask(client, route))
    assert found == {route: may(who, route) for route in ROUTES}


@ONE_DATABASE
@pytest.mark.parametrize("scope", credentials.SCOPES)
def test_a_token_opens_what_it_is_for_and_nothing_else(
    app: FastAPI, database: Database, come: Callable[[str], Person | None], scope: str
) -> None:
    """An owner's, who may everything: what is refused is refused for its scope."""
    app.state.live.close()
    found = {}
    for route in ROUTES:
        one = come("owner")
        assert one is not None
        found[route] = got_in(ask(web.program(app, database, one, scope), route))
    assert found == {route: scope_of(route) in ("any", scope) for route in ROUTES}


@ONE_DATABASE
def test_a_token_with_every_scope_is_no_more_than_its_person(
    app: FastAPI, database: Database, come: Callable[[str], Person | None]
) -> None:
    app.state.live.close()
    found = {}
    for route in ROUTES:
        one = come("labeller")
        assert one is not None
        found[route] = got_in(ask(web.program(app, database, one, *credentials.SCOPES), route))
    assert found == {route: may("labeller", route) for route in ROUTES}


@ONE_DATABASE
def test_a_change_needs_the_token_of_its_page(
    app: FastAPI, database: Database, come: Callable[[str], Person | None]
) -> None:
    """A cookie alone is what another site's form would send."""
    for route, least in ROUTES.items():
        if route.startswith("GET ") or least == "anyone":
            continue
        one = come("owner")
        assert one is not None
        client = web.browser(app, database, one)
        for wrong in ("", "0" * 64):
            client.headers["X-CSRF-Token"] = wrong
            assert ask(client, route).status_code == 403, route


@ONE_DATABASE
def test_nothing_that_changes_is_a_get(app: FastAPI) -> None:
    assert {method for route in access_control.routes(app) for method in route.methods or ()} <= {
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
    }
