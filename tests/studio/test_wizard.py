"""The campaign wizard, from a file to an open campaign."""

from studio.leads import Place, pairs, upload


def test_the_wizard_goes_from_a_file_to_an_open_campaign(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    sent = lead.post("/new/uploads", files={"file": ("my rows.jsonl", pairs(7) + b"{broken\n")})
    assert (sent.status_code, sent.headers["location"]) == (303, "/new/kind?upload=1")
    kinds_page = lead.get("/new/kind?upload=1").text
    assert (
        "my rows.jsonl" in kinds_page
        and "8 rows become 7 items" in kinds_page
        and "Question 4?" in kinds_page
    )
    assert "Question 5?" not in kinds_page  # five are shown
    part = lead.get("/new/kind?upload=1&kind=rating", headers={"HX-Request": "true"}).text
    assert "8 rows become 14 items" in part and "<html" not in part
    task = lead.get("/new/task?upload=1&kind=pairwise&pairs=each&model=")
    assert task.status_code == 200 and "Read the whole prompt" in task.text
    form = {
        "upload": "1",
        "kind": "pairwise",
        "pairs": "each",
        "model": "",
        "name": "Help <b>",
        "guidelines": "# Be kind",
        "read_first": "true",
        "overlap": "2",
        "audience": "Nurses",
        "pay_per_hour": "18,50",
        "currency": "EUR",
        "lease_min": "45",
        "aspects": "helpful, honest,",
        "chips": "clear\nshort",
        "points": "7",
    }
    refused = lead.post("/new", data=form | {"overlap": "many", "name": "Kept"})
    assert (
        refused.status_code == 422
        and "must be a whole number" in refused.text
        and 'value="Kept"' in refused.text
        and 'name="read_first" value="true" checked' in refused.text
    )
    assert lead.get("/api/v1/campaigns").json() == {"campaigns": []}
    made = lead.post("/new", data=form | {"publish": "true"})
    assert (made.status_code, made.headers["location"]) == (303, "/c/help-b/items")
    assert [job.result for job in place.work()] == [{"rows": 8, "added": 7, "duplicates": 0, "set_aside": 1}]
    found = lead.get("/api/v1/campaigns/help-b").json()
    assert (found["state"], found["overlap"], found["lease_s"], found["pay_per_hour"]) == (
        "open",
        2,
        2700,
        18.5,
    )
    assert found["read_first"]
    assert found["options"] == {"aspects": ["helpful", "honest"], "chips": ["clear", "short"], "points": 7}
    assert found["progress"] == {"items": 7, "wanted": 14, "open": 14, "held": 0, "done": 0}
    page = lead.get("/c/help-b/items").text
    assert "Help &lt;b&gt;" in page and "7 items added" in page and "1 rejected" in page


def test_a_draft_is_made_without_publishing_and_nothing_is_half_made(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    form = {
        "kind": "pairwise",
        "name": "Half",
        "upload": "99",
        "overlap": "1",
        "lease_min": "30",
        "points": "7",
        "currency": "EUR",
    }
    assert lead.post("/new", data=form).status_code == 404  # there is no such upload
    assert lead.get("/api/v1/campaigns").json() == {"campaigns": []}
    found = upload(lead, pairs(2))
    assert lead.post("/new", data=form | {"upload": str(found["id"])}).status_code == 303
    assert lead.get("/api/v1/campaigns/half").json()["state"] == "draft"


def test_a_file_that_cannot_be_used_is_said_on_the_page(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    refused = lead.post("/new/uploads", files={"file": ("notes.txt", b"hello\n")})
    assert refused.status_code == 422 and "notes.txt:1" in refused.text
    nothing = lead.post("/new/uploads", data={"x": "y"})
    assert nothing.status_code == 422 and "Choose a file first" in nothing.text


def test_a_form_of_another_site_is_refused(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    del lead.headers["X-CSRF-Token"]
    for path in ("/new", "/new/uploads", "/markdown"):
        assert lead.post(path, data={"kind": "thumbs", "name": "No"}).status_code == 403
