"""The description of the API is complete, and nothing that follows it, or breaks it, makes the server
stumble.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, reject, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

import web
from fairlead.labels import campaigns, items, leases, members, people
from fairlead.labels.database import Database
from fairlead.studio import access_control
from labels.build import LEAD, VALUES, judge, new_item

DOCUMENT = "/api/v1/openapi.json"
EXAMPLES = 5  # of each operation and mode


@pytest.fixture
def there(app: FastAPI, database: Database) -> Iterator[Mapping[str, Any]]:
    """What the names in a path may mean here, so that requests reach beyond "no such thing"."""
    app.state.live.close()  # streams end at once
    with database.write() as connection:
        one = campaigns.create(
            connection,
            campaigns.CampaignSettings(name="Here", kind="pairwise", guidelines="# Be fair", overlap=2),
            by=LEAD,
        )
        items.add(connection, one, [new_item(n) for n in range(4)], by=LEAD)
        one = campaigns.set_state(connection, one, "open", by=LEAD)
        person = people.add(connection, name="Olga", role="owner")
        members.join(connection, person, one.id, "lead", by=LEAD)
        first, second = leases.lease_items(connection, one, person.rater, count=2)
        judge(connection, first, VALUES["pairwise"])
    yield {
        "slug": "here",
        "token": second.id,
        "rater": person.rater,
        "item_id": 1,
        "version": 1,
        "person": person,
    }


def said(client: httpx.Client, case: Any) -> httpx.Request:
    given = case.as_transport_kwargs(base_url=web.ORIGIN)
    headers = {
        name: value
        for name, value in (given.get("headers") or {}).items()
        if name.lower() not in ("authorization", "cookie", "x-csrf-token", "user-agent")
    }
    body = {name: given[name] for name in ("json", "data", "files") if given.get(name) is not None}
    if isinstance(body.get("data"), bytes | str):
        body["content"] = body.pop("data")
    try:
        request = client.build_request(
            given["method"], given["url"], params=given.get("params"), headers=headers, **body
        )
        request.read()
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError, TypeError, AttributeError):
        reject()  # cannot be said over HTTP at all
    return request


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as described", "otherwise"]
)
def test_no_request_makes_the_server_stumble(
    app: FastAPI, database: Database, there: Mapping[str, Any], mode: GenerationMode
) -> None:
    """As described, with the names of things that are there; and otherwise, with everything wrong that a
    schema can be broken by.
    """
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    clients: list[httpx.Client] = []
    for found in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        clients.append(
            web.browser(app, database, there["person"])
        )  # each its own: requests may end a session

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if mode is GenerationMode.POSITIVE and case.path_parameters:
                case.path_parameters = {
                    name: there.get(name, value) for name, value in case.path_parameters.items()
                }
            named = f"{case.method} {case.path} {case.path_parameters} {case.query} {str(case.body)[:200]}"
            request = said(clients[-1], case)
            try:
                answer = clients[-1].send(request)
            except Exception as error:  # the app's own: what no handler of errors caught is raised here
                wrong.append(f"{named}: {type(error).__name__} {str(error)[:300]}")
                return
            statuses[answer.status_code] += 1
            if answer.status_code >= 500:
                wrong.append(f"{named}: {answer.status_code} {answer.text[:300]}")

        ask()
    assert wrong == []
    assert statuses[404] > 20 and statuses[422] > 50  # otherwise nothing was asked
    if mode is GenerationMode.POSITIVE:
        assert statuses[200] + statuses[201] + statuses[204] > 100


def test_every_route_of_the_api_is_described(app: FastAPI) -> None:
    described = {
        f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods
    }
    there = {
        f"{method} {route.path}"
        for route in access_control.routes(app)
        for method in route.methods or ()
        if "/api/" in str(route.path)
    }
    assert described == there


def test_every_body_and_answer_has_a_schema(app: FastAPI) -> None:
    """Programs are written from it: no request and no answer of JSON is just anything."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("tags"), f"{method} {path}"
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            bodies += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for body in bodies:
                for kind, content in body.get("content", {}).items():
                    assert content.get("schema"), f"{method} {path} {kind}"


def test_the_document_is_for_all_who_write_programs(app: FastAPI) -> None:
    answer = web.stranger(app).get(DOCUMENT)
    assert answer.status_code == 200
    assert json.loads(answer.text)["info"]["title"] == "Fairlead studio"


def test_a_stream_of_no_campaign_is_refused_before_it_begins(
    app: FastAPI, database: Database, there: Mapping[str, Any]
) -> None:
    client = web.browser(app, database, there["person"])
    assert client.get("/api/v1/events", params={"campaign": "none"}).status_code == 404
    assert client.get("/api/v1/events", params={"campaign": "here"}).status_code == 200
