"""Uploads, previews and imports."""

import json
from pathlib import Path

from databases import Files
from fairlead.labels.database import Database, open_database
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from studio.leads import Place, filled, open_place, pairs, rows, upload


def test_an_upload_larger_than_the_studio_takes_is_refused(database: Database, tmp_path: Path) -> None:
    place = open_place(database, tmp_path, upload_mb=1)
    lead = place.browser(place.person("Ada", "lead"))
    for path in ("/api/v1/uploads", "/new/uploads"):
        assert lead.post(path, files={"file": ("big.jsonl", b" " * (2**20 + 1))}).status_code == 413
    assert not (place.project.data / "uploads").exists()


def test_somebody_elses_upload_is_not_there(place: Place) -> None:
    ada = place.browser(place.person("Ada", "owner"))
    for name in ("One", "Two"):
        ada.post("/api/v1/campaigns", json={"name": name, "kind": "pairwise"})
    ben, cat = place.browser(place.person("Ben", one="lead")), place.browser(place.person("Cat", two="lead"))
    found = upload(ben, pairs(2))
    body = {"upload": found["id"], "kind": "pairwise"}
    assert cat.get(f"/api/v1/uploads/{found['id']}").status_code == 404
    assert cat.post("/api/v1/imports/preview", json=body).status_code == 404
    assert cat.post("/api/v1/campaigns/two/imports", json={"upload": found["id"]}).status_code == 404
    assert ben.post("/api/v1/imports/preview", json=body).status_code == 200


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
    assert 'hx-trigger="every 1s"' in part and "Waiting for its turn" in part
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
    assert "has no project folder" in lead.get("/new").text
    assert lead.get("/api/v1/rollouts").json()["rollouts"] == []
