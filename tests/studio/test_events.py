"""Events as pages: what each role may see, and how a client pages through them."""

import pytest
from fastapi import FastAPI

import web
from fairlead.labels import members
from fairlead.labels.database import Database, now
from fairlead.labels.events import Event
from fairlead.studio.auth import Viewer
from fairlead.studio.services.events import may_see
from labels.build import open_campaign
from studio.event_helpers import URL, happen


def viewer(role: str | None = None, rater: str = "r-00000000ff", **memberships: str) -> Viewer:
    held = {int(number[1:]): members.Membership(role, False) for number, role in memberships.items()}
    return Viewer(1, rater, "Somebody", role, held, {}, None, "", "", "")


@pytest.mark.parametrize(
    ("who", "verb", "campaign", "seen"),
    [
        (viewer("owner"), "judgement.made", 1, True),
        (viewer("owner"), "person.joined", None, True),
        (viewer("lead"), "judgement.made", 1, True),
        (viewer("lead"), "token.made", None, False),
        (viewer(c1="lead"), "judgement.made", 1, True),
        (viewer(c1="lead"), "judgement.made", 2, False),
        (viewer(c1="viewer"), "judgement.made", 1, True),
        (viewer(c1="adjudicator"), "judgement.made", 1, True),
        (viewer(c1="labeller"), "judgement.made", 1, False),
        (viewer(c1="labeller"), "flag.raised", 1, False),
        (viewer(c1="labeller"), "guidelines.written", 1, True),
        (viewer(c1="labeller"), "campaign.paused", 1, True),
        (viewer(c1="labeller"), "guidelines.written", 2, False),
        (viewer(), "campaign.open", 1, False),
    ],
)
def test_what_each_role_sees_of_what_others_do(
    who: Viewer, verb: str, campaign: int | None, seen: bool
) -> None:
    assert may_see(who, Event(1, now(), verb, "r-0000000001", campaign, "x", {})) is seen


def test_everybody_sees_what_they_did_and_what_was_done_to_them() -> None:
    who = viewer(c1="labeller")
    assert may_see(who, Event(1, now(), "judgement.made", who.rater, 1, "x", {}))
    assert may_see(who, Event(1, now(), "member.paused", "r-0000000009", 1, who.rater, {}))


def test_pages_of_events_are_the_stream_without_a_line(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
    owner, labeller = (
        web.person(database, "Ada", "owner"),
        web.person(database, "Ben", helpful_pairwise="labeller"),
    )
    asks, asked = web.browser(app, database, owner), web.browser(app, database, labeller)
    start = asks.get(f"{URL}/list").json()
    assert start["events"] == []
    happen(database, 4, campaign=one.id)
    mine = happen(database, 1, campaign=one.id, actor=labeller.rater)
    said = asks.get(f"{URL}/list", params={"after": start["last"], "campaign": one.slug}).json()
    assert [event["seq"] for event in said["events"]] == list(range(mine - 4, mine + 1)) and said[
        "last"
    ] == mine
    assert {event["campaign"] for event in said["events"]} == {one.slug}
    half = asks.get(f"{URL}/list", params={"after": start["last"], "limit": 2}).json()
    assert half["last"] == mine - 3
    own = asked.get(f"{URL}/list", params={"after": start["last"]}).json()
    assert [event["seq"] for event in own["events"]] == [mine] and own["last"] == mine


def test_of_a_campaign_in_which_one_is_nobody_nothing_is_told(app: FastAPI, database: Database) -> None:
    with database.write() as connection:
        one = open_campaign(connection)
    asked = web.browser(app, database, web.person(database, "Eve"))
    here, nowhere = (
        asked.get(f"{URL}/list", params={"campaign": slug, "after": 0}) for slug in (one.slug, "nowhere")
    )
    assert here.status_code == nowhere.status_code == 404
    assert here.text.replace(one.slug, "") == nowhere.text.replace("nowhere", "")
    assert web.stranger(app).get(f"{URL}/list").status_code == 401
    assert web.stranger(app).get(URL).status_code == 401
