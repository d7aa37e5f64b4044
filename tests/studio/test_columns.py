"""A table with columns of the lead's own, from the upload to the items, on pages and through the API."""

from urllib.parse import parse_qs, urlsplit

import httpx

from studio.leads import Place, filled, pairs, upload

TABLE = (
    b"Frage,Modell A,Modell B,nr\r\n"
    b"Was ist <b>2</b> + 2?,Das ist 4.,Das ist 5.,r1\r\n"
    b"Was ist 3 + 3?,Das ist 6.,Das ist 7.,r2\r\n"
)
ROLES = {"column": ["Frage", "Modell A", "Modell B", "nr"], "role": ["prompt", "answer", "answer", "id"]}


def sent(lead: httpx.Client, path: str) -> str:
    answer = lead.post(path, files={"file": ("fragen.csv", TABLE)})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_lead_says_what_the_columns_hold_and_publishes(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    page_url = sent(lead, "/new/uploads")
    assert page_url.startswith("/new/columns?upload=")
    page = lead.get(page_url).text
    assert page.count('name="role"') == 4 and "Was ist &lt;b&gt;2" in page and "<b>2</b>" not in page
    assert '<option value="prompt" selected' in page and "Das ist 5." in page  # the suggestion is previewed
    form = {"upload": parse_qs(urlsplit(page_url).query)["upload"][0], **ROLES}
    part = lead.post("/new/columns", data=form, headers={"HX-Request": "true"})
    assert part.status_code == 200 and "<html" not in part.text and "r1" in part.text
    chosen = lead.post("/new/columns", data=form)
    assert chosen.status_code == 303 and chosen.headers["location"].startswith("/new/kind?")
    kinds = lead.get(chosen.headers["location"]).text
    assert "2 rows become 2 items" in kinds and 'name="map" value="prompt=Frage"' in kinds
    assert (
        '<option value="id" selected'
        in lead.get(f"/new/columns?{urlsplit(chosen.headers['location']).query}").text
    )
    query = parse_qs(urlsplit(chosen.headers["location"]).query)
    made = lead.post(
        "/new",
        data={**query, "kind": "pairwise", "name": "Fragen", "guidelines": "Be fair.", "publish": "true"},
    )
    assert made.status_code == 303, made.text
    place.work()
    items = lead.get("/api/v1/campaigns/fragen/items").json()["items"]
    assert [item["external_id"] for item in items] == ["r1", "r2"]
    assert [answer["source"] for answer in items[0]["answers"]] == ["Modell A", "Modell B"]


def test_items_are_added_from_described_columns(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(1))
    page_url = sent(lead, f"/c/{slug}/uploads")
    assert page_url.startswith(f"/c/{slug}/columns?upload=") and lead.get(page_url).status_code == 200
    form = {"upload": parse_qs(urlsplit(page_url).query)["upload"][0], **ROLES}
    chosen = lead.post(f"/c/{slug}/columns", data=form).headers["location"]
    assert chosen.startswith(f"/c/{slug}/add?") and "2 rows become 2 items" in lead.get(chosen).text
    assert lead.post(f"/c/{slug}/add", data=parse_qs(urlsplit(chosen).query)).status_code == 303
    place.work()
    assert len(lead.get(f"/api/v1/campaigns/{slug}/items").json()["items"]) == 3


def test_roles_that_make_no_items_are_shown_with_the_reason(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    upload_id = parse_qs(urlsplit(sent(lead, "/new/uploads")).query)["upload"][0]
    form = {"upload": upload_id, **ROLES, "role": ["system", "system", "ignore", "id"]}
    for headers in ({}, {"HX-Request": "true"}):
        answer = lead.post("/new/columns", data=form, headers=headers)
        assert "two columns are said to hold the system" in answer.text
    nothing = lead.post("/new/columns", data={**form, "role": ["ignore"] * 4}).text
    assert "Say what each column holds" in nothing and "--" not in nothing.partition("<main")[2]
    fewer = lead.post("/new/columns", data={**form, "role": ["prompt"]})
    assert "must be given for each column" in fewer.text
    assert lead.get("/new/columns").headers["location"] == "/new"
    ben = place.browser(place.person("Ben", "lead"))
    assert (
        ben.get(f"/new/columns?upload={upload_id}").status_code == 200
    )  # leads of the studio see all uploads


def test_the_api_describes_columns_and_imports_them(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    lead.post("/api/v1/campaigns", json={"name": "Help", "kind": "pairwise"})
    files = {"file": ("fragen.csv", TABLE)}
    assert lead.post("/api/v1/uploads", files=files).status_code == 422
    kept = lead.post("/api/v1/uploads?describe_later=true", files=files).json()
    assert (kept["format"], kept["suits"]) == ("", [])
    columns = lead.get(f"/api/v1/uploads/{kept['id']}/columns").json()["columns"]
    assert [column["role"] for column in columns] == ["prompt", "answer", "answer", ""]
    body = {
        "upload": kept["id"],
        "map": ["prompt=Frage", "completions.0=Modell A", "completions.1=Modell B", "id=nr"],
    }
    refused = lead.post("/api/v1/campaigns/help/imports", json={"upload": kept["id"]})
    assert refused.status_code == 422 and "Say what each column holds" in refused.text
    found = lead.post("/api/v1/imports/preview", json={**body, "kind": "pairwise"}).json()
    assert found["num_items"] == 2 and found["items"][0]["external_id"] == "r1"
    assert lead.post("/api/v1/campaigns/help/imports", json=body).status_code == 202
    place.work()
    assert len(lead.get("/api/v1/campaigns/help/items").json()["items"]) == 2


def test_a_known_format_can_be_read_in_another_way(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    found = upload(lead, pairs(1, topic="sums"))
    page = lead.get(f"/new/kind?upload={found['id']}").text
    assert f"/new/columns?upload={found['id']}" in page.replace("&amp;", "&")
    body = {"upload": found["id"], "kind": "pairwise", "ignore": ["topic"]}
    [item] = lead.post("/api/v1/imports/preview", json=body).json()["items"]
    assert item["metadata"] is None
