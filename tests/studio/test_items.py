import json
from pathlib import Path
from typing import Any

import pytest

from databases import Files
from fairlead.labels import flags, judgements, leases
from fairlead.labels.database import Database, open_database
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from studio.leads import Place, filled, judge, open_place, pairs, rows, upload


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return open_place(database, tmp_path)


def test_an_import_tells_how_far_it_is_and_what_it_set_aside(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    lead.post("/api/v1/campaigns", json={"name": "Help", "kind": "pairwise"})
    found = upload(
        lead, pairs(3) + b"{broken\n" + rows({"prompt": "4?", "completions": ["x"]}), "pairs.jsonl"
    )
    assert (found["format"], found["row_kind"], found["suits"][0]) == ("answers", "answers", "pairwise")
    job = lead.post("/api/v1/campaigns/help/imports", json={"upload": found["id"], "priority": 7}).json()
    assert (job["state"], job["num_all"]) == ("queued", None)
    part = lead.get(f"/c/help/jobs/{job['id']}").text
    assert 'hx-trigger="every 1s"' in part and "Waiting for a worker" in part
    place.work()
    done = lead.get(f"/api/v1/campaigns/help/jobs/{job['id']}").json()
    assert (done["state"], done["num_done"], done["num_all"]) == ("done", 5, 5)
    assert done["result"] == {"rows": 5, "added": 3, "duplicates": 0, "set_aside": 2}
    aside = lead.get(f"/api/v1/campaigns/help/jobs/{job['id']}/problems").json()
    assert (aside["num"], [(one["line"], one["field"]) for one in aside["problems"]]) == (
        2,
        [(4, ""), (5, "completions")],
    )
    assert all(one["why"] and one["remedy"] for one in aside["problems"])
    kept = lead.get(f"/api/v1/campaigns/help/jobs/{job['id']}/set-aside.jsonl")
    assert [json.loads(line)["row"] for line in kept.text.splitlines()] == [
        "{broken",
        {"prompt": "4?", "completions": ["x"]},
    ]
    assert "every 1s" not in lead.get(f"/c/help/jobs/{job['id']}").text
    again = lead.post("/api/v1/campaigns/help/imports", json={"upload": found["id"]}).json()
    place.work()
    assert lead.get(f"/api/v1/campaigns/help/jobs/{again['id']}").json()["result"]["duplicates"] == 3


def test_nobody_waits_to_save_while_an_upload_is_examined(files: Files, tmp_path: Path) -> None:
    database = open_database(files.copy(tmp_path))
    place = open_place(database, tmp_path)
    lead = place.browser(place.person("Ada", "lead"))
    with database.write():  # SQLite has one writer; who needs to write now waits
        refused = lead.post("/api/v1/uploads", files={"file": ("notes.txt", b"hello\n")})
    assert refused.status_code == 422 and "notes.txt:1" in refused.text
    database.close()


def test_a_job_is_cancelled_and_goes_on_and_is_its_campaigns_alone(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    for name in ("One", "Two"):
        lead.post("/api/v1/campaigns", json={"name": name, "kind": "pairwise"})
    found = upload(lead, pairs(3))
    job = lead.post("/api/v1/campaigns/one/imports", json={"upload": found["id"]}).json()["id"]
    for path in ("", "/problems", "/set-aside.jsonl"):
        assert lead.get(f"/api/v1/campaigns/two/jobs/{job}{path}").status_code == 404
    assert lead.post(f"/api/v1/campaigns/two/jobs/{job}/cancel").status_code == 404
    assert lead.post(f"/api/v1/campaigns/one/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert lead.post(f"/api/v1/campaigns/one/jobs/{job}/cancel").status_code == 409
    assert place.work() == []
    assert lead.post(f"/api/v1/campaigns/one/jobs/{job}/retry").json()["state"] == "queued"
    assert [done.state for done in place.work()] == ["done"]
    assert [one["id"] for one in lead.get("/api/v1/campaigns/one/jobs").json()["jobs"]] == [job]


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
        (True, "good", ""), (False, None, "my reason"),
    ]  # fmt: skip
    page = lead.get(f"/c/{slug}/items/{item['id']}").text
    assert "Ben Okri" in page and "tie, both good" in page and "corrected" in page and "<img" not in page
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
            assert other.get(f"/api/v1/campaigns/{slug}/{path}").status_code == 403, (role, path)
        assert other.post(f"/api/v1/campaigns/{slug}/imports", json={"rollouts": ["x"]}).status_code == 403
        assert other.get(f"/c/{slug}/items").status_code == 403
        assert other.post("/api/v1/uploads", files={"file": ("x.jsonl", b"{}")}).status_code == 403


def test_more_items_come_in_while_people_work(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(2))
    sent = lead.post(f"/c/{slug}/uploads", files={"file": ("more.jsonl", pairs(5))})
    assert sent.status_code == 303
    looked = lead.get(sent.headers["location"])
    assert looked.status_code == 200 and "5 rows become 5 items" in looked.text
    form = {
        "upload": sent.headers["location"].rpartition("=")[2],
        "pairs": "each",
        "model": "",
        "priority": "10",
    }
    assert lead.post(f"/c/{slug}/add", data=form).headers["location"] == f"/c/{slug}/items"
    assert [job.result for job in place.work()] == [{"rows": 5, "added": 3, "duplicates": 2, "set_aside": 0}]
    wrong = lead.get(f"/c/{slug}/add?upload={upload(lead, rows({'prompt': '2?'}))['id']}")
    assert wrong.status_code == 422 and "for rows of the kind prompt; choose one of" in wrong.text


def test_a_studio_without_a_project_says_so(place: Place) -> None:
    bare = Place(create_app(Settings(database="unused"), place.database), place.database, place.project)
    lead = bare.browser(bare.person("Ada", "lead"))
    refused = lead.post("/api/v1/uploads", files={"file": ("x.jsonl", b"{}")})
    assert refused.status_code == 409 and "without a project" in refused.json()["error"]["message"]
    assert "without a project" in lead.get("/new").text
    assert lead.get("/api/v1/rollouts").json()["rollouts"] == []
