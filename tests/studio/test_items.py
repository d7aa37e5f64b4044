import json
from typing import Any

import pytest

from fairlead.labels import flags, item_search, judgements, leases
from studio.leads import Place, filled, judge, pairs, rows, upload


def test_items_are_found_by_words_and_state_page_by_page(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    content = rows(
        {"prompt": "Wie heißt die Straße?", "completions": ["Ölweg", "Hauptstraße"], "tags": ["deutsch"]},
        {"prompt": "100% of what?", "completions": ["all", "none"]},
        {"prompt": "Which street?", "completions": ["Oil Way", "High Street"]},
    )
    slug = filled(place, lead, content)

    def found(**query: Any) -> list[int]:
        return [
            one["id"] for one in lead.get(f"/api/v1/campaigns/{slug}/items", params=query).json()["items"]
        ]

    first, second, third = found()
    assert found(q="straße") == [first]
    assert found(q="ölweg DEUTSCH") == [first]
    assert found(q="street high") == [third]
    assert found(q="100%") == [second]  # not "anything"
    assert found(q="street ölweg") == []
    page = lead.get(f"/api/v1/campaigns/{slug}/items", params={"limit": 2}).json()
    assert ([one["id"] for one in page["items"]], page["next"]) == ([first, second], second)
    last = lead.get(f"/api/v1/campaigns/{slug}/items", params={"limit": 2, "after": second}).json()
    assert ([one["id"] for one in last["items"]], last["next"]) == ([third], None)
    ben = place.person("Ben")
    judge(place, slug, ben, {"choice": 1})
    with place.database.write() as connection:
        (task,) = leases.lease_items(connection, place.campaign(slug), ben.rater)
        flags.raise_flag(connection, task.id, ben.rater, reason="broken")
    assert len(found(state="open")) == 1 and len(found(state="judged")) == len(found(state="done")) == 1
    assert found(state="flagged") == [task.item.id]
    assert lead.get(f"/api/v1/campaigns/{slug}/items", params={"state": "odd"}).status_code == 422


def test_one_item_is_shown_with_all_that_was_said_of_it(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(
        place,
        lead,
        rows(
            {"prompt": "**2**?", "completions": ["4", "<img src=x onerror=alert(1)>"], "models": ["a", "b"]}
        ),
    )
    ben = place.person("Ben Okri")
    judge(place, slug, ben, {"choice": 1}, reasons=[], note="my reason")
    (item,) = lead.get(f"/api/v1/campaigns/{slug}/items").json()["items"]
    with place.database.write() as connection:
        one = place.campaign(slug)
        task, last = judgements.get_last(connection, one, ben.rater)
        judgements.submit(
            connection,
            task.id,
            ben.rater,
            judgements.NewJudgement(key="corrected", value={"choice": 4}, active_ms=1000),
        )
    look = lead.get(f"/api/v1/campaigns/{slug}/items/{item['id']}").json()
    assert [answer["source"] for answer in look["item"]["answers"]] == ["a", "b"]
    assert (
        "<strong>2</strong>" in look["item"]["prompt"][0]["html"]
        and "<img" not in look["item"]["answers"][1]["html"]
    )
    assert [(one["stands"], one["value"].get("tie"), one["note"]) for one in look["judgements"]] == [
        (True, "good", ""),
        (False, None, "my reason"),
    ]
    page = lead.get(f"/c/{slug}/items/{item['id']}").text
    assert "Ben Okri" in page and "tie, both good" in page and "replaced" in page and "<img" not in page
    assert lead.get(f"/api/v1/campaigns/{slug}/items/{item['id'] + 1}").status_code == 404
    assert lead.patch(f"/api/v1/campaigns/{slug}/items/{item['id']}", json={"priority": 9}).status_code == 204
    assert (
        lead.patch(f"/api/v1/campaigns/{slug}/items/{item['id']}", json={"priority": 101}).status_code == 422
    )
    assert lead.get(f"/api/v1/campaigns/{slug}/items").json()["items"][0]["priority"] == 9


def test_a_program_sends_items_itself(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    lead.post("/api/v1/campaigns", json={"name": "Help", "kind": "pairwise"})
    answers = [
        {"messages": [{"role": "assistant", "content": text}], "source": "m"} for text in ("yes", "no")
    ]
    one = {
        "prompt": [{"role": "user", "content": "2?"}],
        "answers": answers,
        "selection_probability": 0.5,
        "strategy": "spread",
    }
    assert lead.post("/api/v1/campaigns/help/items", json={"items": [one, one]}).json() == {
        "num_added": 1,
        "num_duplicates": 1,
    }
    (item,) = lead.get("/api/v1/campaigns/help/items").json()["items"]
    assert (item["selection_probability"], item["strategy"], item["source"]) == (0.5, "spread", "api")
    robot = [{"role": "robot", "content": "2?"}]
    changes: list[dict[str, Any]] = [
        {"answers": answers[:1]},
        {"prompt": []},
        {"prompt": robot},
        {"priority": 1000},
    ]
    for wrong in changes:
        assert lead.post("/api/v1/campaigns/help/items", json={"items": [one | wrong]}).status_code == 422, (
            wrong
        )


def test_labellers_and_viewers_see_no_items_and_start_no_imports(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(2))
    for role in ("labeller", "viewer", "adjudicator"):
        other = place.browser(place.person(role, **{slug: role}))
        for path in ("items", "items/1", "jobs", "jobs/1", "jobs/1/set-aside.jsonl"):
            may = role == "adjudicator" and path == "items/1"  # without sources, see test_blind
            assert other.get(f"/api/v1/campaigns/{slug}/{path}").status_code == (200 if may else 403), (
                role,
                path,
            )
        assert other.post(f"/api/v1/campaigns/{slug}/imports", json={"rollouts": ["x"]}).status_code == 403
        assert other.get(f"/c/{slug}/items").status_code == 403
        assert other.post("/api/v1/uploads", files={"file": ("x.jsonl", b"{}")}).status_code == 403


def test_ids_and_metadata_are_shown_found_and_repeated_in_snapshots(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    row = {"id": "row-17", "prompt": "2?", "chosen": "4", "rejected": "5", "topic": "sums <b>"}
    slug = filled(place, lead, rows(row, {**row, "id": "row-18", "prompt": "3?"}))
    item = lead.get(f"/api/v1/campaigns/{slug}/items", params={"q": "row-17"}).json()["items"][0]
    assert (item["external_id"], item["metadata"]) == ("row-17", {"topic": "sums <b>"})
    page = lead.get(f"/c/{slug}/items/{item['id']}").text
    assert "row-17" in page and "sums &lt;b&gt;" in page
    added = {
        "prompt": [{"role": "user", "content": "4?"}],
        "answers": [{"messages": [{"role": "assistant", "content": text}]} for text in "89"],
        "external_id": "mine",
        "metadata": {"topic": "powers"},
        "reference": "8",
    }
    assert lead.post(f"/api/v1/campaigns/{slug}/items", json={"items": [added]}).status_code == 201
    judge(place, slug, place.person("Ben"), *[{"choice": 1}] * 3)
    body = {"name": "kept", "filters": {}}
    assert lead.post(f"/api/v1/campaigns/{slug}/snapshots", json=body).status_code == 202
    place.work()
    written = lead.get(f"/api/v1/campaigns/{slug}/snapshots/kept/files/comparisons.jsonl").text
    found = {row["id"]: row["metadata"] for row in map(json.loads, written.splitlines())}
    assert found == {
        "row-17": {"topic": "sums <b>"},
        "row-18": {"topic": "sums <b>"},
        "mine": {"reference": "8", "topic": "powers"},
    }


def test_a_preview_shows_what_travels_with_the_items(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    row = {"id": "row-17", "prompt": "2?", "completions": ["4", "5"], "topic": "sums"}
    found = upload(lead, rows(row))
    body = {"upload": found["id"], "kind": "pairwise"}
    [item] = lead.post("/api/v1/imports/preview", json=body).json()["items"]
    assert (item["external_id"], item["metadata"]) == ("row-17", {"topic": "sums"})
    assert "row-17" in lead.get("/new/kind", params={"upload": found["id"]}).text


def test_a_list_has_hits_pages_and_an_order(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(60))
    api, page = f"/api/v1/campaigns/{slug}/items", f"/c/{slug}/items"
    first = lead.get(api, params={"limit": 25}).json()
    assert (first["num_hits"], first["more_hits"], first["has_next"]) == (60, False, True)
    last = lead.get(api, params={"limit": 25, "page": 3}).json()
    assert (len(last["items"]), last["has_next"], last["next"]) == (10, False, None)
    ids = [item["id"] for item in first["items"]]
    newest = lead.get(api, params={"order": "newest", "limit": 60}).json()["items"]
    assert [item["id"] for item in newest] == sorted((item["id"] for item in newest), reverse=True)
    lead.patch(f"{api}/{ids[7]}", json={"priority": 9})
    assert lead.get(api, params={"order": "priority"}).json()["items"][0]["id"] == ids[7]
    assert lead.get(api, params={"q": "17?"}).json()["num_hits"] == 1
    text = lead.get(page, params={"page": 2}).text
    assert "60 items, page 2 of 3" in text and 'rel="prev"' in text and 'rel="next"' in text
    assert "1 hit" in lead.get(page, params={"q": "17?"}).text
    assert "No such page" in lead.get(page, params={"page": 9}).text
    for wrong in ({"page": 0}, {"order": "odd"}):
        assert lead.get(page, params=wrong).status_code == 422


def test_counting_stops_where_a_filter_has_very_many_hits(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_search, "MAX_COUNTED", 5)
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(30))
    found = lead.get(f"/api/v1/campaigns/{slug}/items", params={"q": "question", "limit": 10}).json()
    assert (found["num_hits"], found["more_hits"]) == (5, True)
    assert "More than 5 hits" in lead.get(f"/c/{slug}/items", params={"q": "question"}).text
    assert "30 items" in lead.get(f"/c/{slug}/items").text


def test_chosen_items_are_archived_restored_kept_and_deleted(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(4))
    ben = place.person("Ben Okri")
    judge(place, slug, ben, {"choice": 1})
    page = f"/c/{slug}/items"

    def ids(state: str = "any") -> list[int]:
        items = lead.get(f"/api/v1{page.replace('/c/', '/campaigns/')}", params={"state": state}).json()[
            "items"
        ]
        return [item["id"] for item in items]

    everything = ids()
    [judged] = ids("judged")
    unseen = [item_id for item_id in everything if item_id != judged]

    def sent(**form: Any) -> str:
        answer = lead.post(page, data=form)
        return lead.get(answer.headers["location"]).text if answer.status_code == 303 else answer.text

    assert "Tick the items first" in sent(action="archive")
    assert "1 item archived." in sent(action="archive", items=[judged], q="Question", order="newest")
    assert ids() == unseen and ids("archived") == [judged]
    assert "Restore" in lead.get(page, params={"state": "archived"}).text
    assert "1 item restored." in sent(action="restore", items=[judged], state="archived")
    assert "has been handed out" in sent(action="delete", whole_page="true", shown=everything)
    assert "Choose who gets these items" in sent(action="reserve", items=unseen[:2])
    assert "2 items kept for this person." in sent(action="reserve", items=unseen[:2], person=ben.rater)
    people = lead.get(f"/api/v1/campaigns/{slug}/people").json()["people"]
    assert [member["reserved"] for member in people] == [2]
    assert "2 items kept" in lead.get(f"/c/{slug}/people").text
    released = lead.delete(f"/api/v1/campaigns/{slug}/reservations/{ben.rater}").json()
    assert released == {"num_changed": 2}
    assert "1 item deleted." in sent(action="delete", items=[unseen[0]])
    assert unseen[0] not in ids()


def test_the_api_archives_and_deletes_items(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(2))
    api = f"/api/v1/campaigns/{slug}/items"
    first, second = (item["id"] for item in lead.get(api).json()["items"])
    assert lead.post(f"{api}/archive", json={"items": [first]}).json() == {"num_changed": 1}
    assert lead.get(f"{api}/{first}").json()["item"]["archived_at"] is not None
    assert "Archived since" in lead.get(f"/c/{slug}/items/{first}").text
    assert lead.post(f"{api}/restore", json={"items": [first]}).json() == {"num_changed": 1}
    assert lead.post(f"{api}/delete", json={"items": [second]}).json() == {"num_changed": 1}
    assert lead.post(f"{api}/delete", json={"items": []}).status_code == 422
    assert [item["id"] for item in lead.get(api).json()["items"]] == [first]


def test_an_answer_that_names_its_model_is_marked(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    content = rows({"prompt": "Who?", "completions": ["As Qwen, I do not know.", "Nobody."]})
    found = upload(lead, content)
    assert "1 item has an answer that names its own model" in lead.get(f"/new/kind?upload={found['id']}").text
    slug = filled(place, lead, content + pairs(1))
    [item] = lead.get(f"/api/v1/campaigns/{slug}/items", params={"state": "reveals"}).json()["items"]
    assert "As Qwen" in item["reveals"]
    assert "names its model" in lead.get(f"/c/{slug}/items").text
    assert "As Qwen" in lead.get(f"/c/{slug}/items/{item['id']}").text


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"topic": "sums"}, "items.0.topic"),
        (
            {"answers": [{"messages": [{"role": "assistant", "content": "4"}], "mark": 3}]},
            "items.0.answers.0.mark",
        ),
        ({"prompt": [{"role": "user", "content": "2+2?", "name": "Eve"}]}, "items.0.prompt.0.name"),
    ],
)
def test_what_an_item_would_lose_is_refused(place: Place, more: dict[str, Any], field: str) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(1))
    item = {"prompt": [{"role": "user", "content": "2+2?"}]} | more
    answer = lead.post(f"/api/v1/campaigns/{slug}/items", json={"items": [item]})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == {
        field: "is not known here; check its spelling, or leave it out"
    }


def test_a_misspelt_setting_is_refused(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(1))
    answer = lead.patch(f"/api/v1/campaigns/{slug}", json={"overlapp": 3})
    assert answer.status_code == 422 and "overlapp: is not known here" in answer.json()["error"]["message"]
