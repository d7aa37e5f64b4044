"""Two leads have the same page open: nobody overwrites what they have not seen."""

import threading

import httpx

from fairlead.labels import campaigns, chats, items
from fairlead.labels.chats import Answerer
from studio.leads import Place, filled, pairs
from studio.live_chat import FORM, send, who

HERE = "/api/v1/campaigns/help"


def refused_with(answer: httpx.Response) -> dict[str, object]:
    assert answer.status_code == 409, answer.text
    error = answer.json()["error"]
    assert error["code"] == "stale" and "omebody else" in error["message"]
    current: dict[str, object] = error["current"]
    return current


def test_settings_that_somebody_else_has_changed_are_not_overwritten(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    made = lead.post(
        "/api/v1/campaigns", json={"name": "Help", "kind": "pairwise", "chips": ["clear"]}
    ).json()
    seen = made["version"]
    changed = lead.patch(HERE, json={"version": seen, "chips": ["clear", "true"]})
    assert changed.status_code == 200 and changed.json()["version"] != seen
    for stale in ({"name": "Better"}, {"chips": ["kind"]}, {"overlap": 3}):
        current = refused_with(lead.patch(HERE, json={"version": seen, **stale}))
        assert (current["chips"], current["name"]) == (["clear", "true"], "Help")
    assert lead.get(HERE).json()["options"]["chips"] == ["clear", "true"]
    again = lead.patch(HERE, json={"version": current["version"], "name": "Better"})
    assert (again.status_code, again.json()["name"]) == (200, "Better")
    assert lead.patch(HERE, json={"audience": "All"}).status_code == 200  # a program need not send a version


def test_every_setting_is_part_of_the_version(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    versions = [lead.post("/api/v1/campaigns", json={"name": "Help", "kind": "aspects"}).json()["version"]]
    for change in (
        {"name": "Better"},
        {"audience": "All"},
        {"pay_per_hour": 12},
        {"currency": "USD"},
        {"lease_s": 90},
        {"overlap": 2},
        {"chips": ["clear"]},
        {"aspects": ["true"]},
        {"points": 5},
        {"read_first": True},
    ):
        answer = lead.patch(HERE, json={"version": versions[-1], **change})
        assert answer.status_code == 200, answer.text
        versions.append(answer.json()["version"])
    assert len(set(versions)) == len(versions)


def test_guidelines_that_somebody_else_has_written_are_not_overwritten(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    lead.post("/api/v1/campaigns", json={"name": "Help", "kind": "thumbs", "guidelines": "One."})
    assert lead.post(f"{HERE}/guidelines", json={"text": "Two.", "after": 1}).json()["version"] == 2
    current = refused_with(lead.post(f"{HERE}/guidelines", json={"text": "Three.", "after": 1}))
    assert current == {"text": "Two.", "after": 2}
    assert lead.post(f"{HERE}/guidelines", json={"text": "Three.", "after": 2}).json()["version"] == 3
    # The same text twice, such as after a lost answer, is no conflict.
    assert lead.post(f"{HERE}/guidelines", json={"text": "Three.", "after": 2}).json()["version"] == 3
    first = lead.post("/api/v1/campaigns", json={"name": "Empty", "kind": "thumbs"}).json()["slug"]
    assert (
        lead.post(f"/api/v1/campaigns/{first}/guidelines", json={"text": "1", "after": 0}).status_code == 201
    )
    assert (
        lead.post(f"/api/v1/campaigns/{first}/guidelines", json={"text": "2", "after": 0}).status_code == 409
    )


def test_a_state_that_somebody_else_has_changed_is_not_changed_back(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    filled(place, lead, pairs(1))
    assert lead.post(f"{HERE}/state", json={"state": "paused", "was": "open"}).status_code == 200
    assert lead.post(f"{HERE}/state", json={"state": "paused", "was": "open"}).status_code == 200  # as wanted
    assert lead.post(f"{HERE}/state", json={"state": "closed", "was": "paused"}).status_code == 200
    assert refused_with(lead.post(f"{HERE}/state", json={"state": "open", "was": "paused"})) == {
        "state": "closed"
    }
    assert lead.get(HERE).json()["state"] == "closed"


def test_roles_and_priorities_that_somebody_else_has_changed_are_not_overwritten(place: Place) -> None:
    owner = place.browser(place.person("Olga", "owner"))
    slug = filled(place, owner, pairs(1))
    ben = place.person("Ben", help="labeller").rater
    member, person = f"{HERE}/people/{ben}", f"/api/v1/people/{ben}"
    assert owner.patch(member, json={"role": "viewer", "was": "labeller"}).status_code == 200
    assert refused_with(owner.patch(member, json={"role": "lead", "was": "labeller"})) == {"role": "viewer"}
    assert owner.patch(member, json={"role": "lead", "was": "viewer"}).json()["role"] == "lead"
    assert owner.patch(person, json={"role": "viewer", "was": None}).status_code == 200
    assert refused_with(owner.patch(person, json={"role": "owner", "was": None})) == {"role": "viewer"}
    assert owner.patch(person, json={"role": None, "was": "viewer"}).json()["role"] is None
    (item,) = owner.get(f"/api/v1/campaigns/{slug}/items").json()["items"]
    path = f"{HERE}/items/{item['id']}"
    assert owner.patch(path, json={"priority": 5, "was": 0}).status_code == 204
    assert refused_with(owner.patch(path, json={"priority": 9, "was": 0})) == {"priority": 5}
    assert owner.patch(path, json={"priority": 9, "was": 5}).status_code == 204


def test_a_priority_that_somebody_else_is_just_setting_is_not_overwritten(place: Place) -> None:
    owner = place.browser(place.person("Olga", "owner"))
    slug = filled(place, owner, pairs(1))
    (item,) = owner.get(f"/api/v1/campaigns/{slug}/items").json()["items"]
    answers: list[httpx.Response] = []

    def set_priority() -> None:
        answers.append(owner.patch(f"{HERE}/items/{item['id']}", json={"priority": 9, "was": 0}))

    with place.database.write() as connection:
        campaign = place.campaign(slug)
        campaigns.lock_settings(connection, campaign)
        items.set_priority(connection, campaign, {item["id"]: 5}, by="system")
        thread = threading.Thread(target=set_priority)
        thread.start()
        thread.join(0.3)
        assert answers == []  # the request waits for the other transaction
    thread.join(20)
    assert refused_with(answers[0]) == {"priority": 5}


def test_models_that_somebody_else_has_chosen_are_not_overwritten(
    chat_place: Place, chat_lead: httpx.Client
) -> None:
    form = FORM | {"who": ["model:sft"], "there": [""], "temperature": ["0.8"], "max_tokens": ["64"]}
    assert send(chat_lead, "/new", **form).status_code == 303
    seen = chat_lead.get("/api/v1/campaigns/talk/answerers").json()["version"]
    assert f'value="{seen}"' in chat_lead.get("/c/talk/settings").text
    with chat_place.database.write() as connection:
        chats.set_answerers(
            connection, chat_place.campaign("talk"), [Answerer("endpoint:here/a", {})], by="system"
        )
    body = {"answerers": [{"source": "model:sft"}], "version": seen}
    current = refused_with(chat_lead.put("/api/v1/campaigns/talk/answerers", json=body))
    page = send(
        chat_lead, "/c/talk/answerers", **{name: form[name] for name in ("who", "there")}, version=seen
    )
    assert page.status_code == 409 and "endpoint:here/a" in page.text
    assert f'value="{current["version"]}"' in page.text  # saving again replaces them
    assert [one.source for one in who(chat_place)] == ["endpoint:here/a"]
    again = send(
        chat_lead,
        "/c/talk/answerers",
        **{name: form[name] for name in ("who", "there", "temperature", "max_tokens")},
        version=current["version"],
    )
    assert again.status_code == 303 and [one.source for one in who(chat_place)] == ["model:sft"]
