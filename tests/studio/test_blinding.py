"""Whoever judges answers, adjudicators included, cannot learn which model wrote them."""

import httpx
import pytest

from fairlead.labels import flags, leases
from studio.leads import Place, filled, judge, rows

SECRETS = ("model/red", "model/blue", "rows.jsonl", "row-of-a-file", "secret-topic")
NUM_ITEMS = 12


@pytest.fixture
def slug(place: Place) -> str:
    """Items whose first answer is always by the same model; one judgement and a flag each."""
    lead = place.browser(place.person("Lea", "lead"))
    content = rows(
        *(
            {
                "prompt": f"{n}?",
                "completions": [f"red {n}", f"blue {n}"],
                "models": ["model/red", "model/blue"],
                "id": f"row-of-a-file-{n}",
                "topic": "secret-topic",
            }
            for n in range(NUM_ITEMS)
        )
    )
    return filled(place, lead, content, overlap=2)


def everything_read(client: httpx.Client, slug: str, num_items: int) -> str:
    """All that pages and the API say about the campaign, its items, snapshots and models."""
    api = f"/api/v1/campaigns/{slug}"
    paths = [
        *(
            "/",
            "/campaigns",
            f"/c/{slug}",
            f"/c/{slug}/figures",
            f"/c/{slug}/items",
            f"/c/{slug}/items?q=red",
        ),
        *(f"/c/{slug}/snapshots", f"/c/{slug}/snapshots/one", "/runs", "/artifacts/snapshot/one"),
        *("/lineage/snapshot/one", f"/c/{slug}/guidelines", "/api/v1/runs", "/api/v1/artifacts"),
        *(api, f"{api}/progress", f"{api}/flags", f"{api}/items", f"{api}/items?q=model/red"),
        *(
            f"{api}/snapshots",
            f"{api}/snapshots/one",
            f"{api}/jobs",
            "/api/v1/rollouts",
            "/api/v1/artifacts/snapshot/one",
        ),
        *(
            f"{api}/snapshots/one/files/{file}"
            for file in ("comparisons.jsonl", "datasheet.md", "manifest.json")
        ),
        *(f"{prefix}/items/{n}" for n in range(1, num_items + 1) for prefix in (api, f"/c/{slug}")),
        "/api/v1/events/list?after=0&limit=500",
    ]
    return "\n".join(client.get(path, follow_redirects=True).text for path in paths)


@pytest.mark.parametrize("role", [None, "viewer"])
def test_an_adjudicator_reads_nowhere_which_model_wrote_an_answer(
    place: Place, slug: str, role: str | None
) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    judge(place, slug, place.person("Ben"), {"choice": 1}, {"choice": 7})
    made = lead.post(f"/api/v1/campaigns/{slug}/snapshots", json={"name": "one"})
    assert made.status_code == 202 and [job.state for job in place.work()] == ["done"]
    seen_by_lead = everything_read(lead, slug, NUM_ITEMS)
    assert all(secret in seen_by_lead for secret in SECRETS)  # otherwise the test could not fail
    adjudicator = place.browser(place.person("Jo", role, **{slug: "adjudicator"}))
    seen = everything_read(adjudicator, slug, NUM_ITEMS)
    assert "red 3" in seen and "blue 3" in seen
    assert [secret for secret in SECRETS if secret in seen] == []


def test_the_order_of_answers_tells_an_adjudicator_nothing(place: Place, slug: str) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    adjudicator = place.browser(place.person("Jo", **{slug: "adjudicator"}))
    for choice in range(NUM_ITEMS):
        judge(place, slug, place.person(f"P{choice}"), {"choice": 1 + choice % 8})
    ids = [item["id"] for item in lead.get(f"/api/v1/campaigns/{slug}/items").json()["items"]]
    firsts = []
    for item_id in ids:
        path = f"/api/v1/campaigns/{slug}/items/{item_id}"
        told, blind = lead.get(path).json(), adjudicator.get(path).json()
        texts = [answer["text"] for answer in blind["item"]["answers"]]
        firsts.append(texts[0].split()[0])
        assert adjudicator.get(path).json() == blind  # the same each time
        for open_one, blind_one in zip(told["judgements"], blind["judgements"], strict=True):
            # The judgement still says the same about the texts.
            for judged, answers in (
                (open_one, told["item"]["answers"]),
                (blind_one, blind["item"]["answers"]),
            ):
                judged["preferred"] = (
                    answers[0 if judged["value"]["preference"] > 0 else 1]["text"]
                    if judged["value"]["preference"]
                    else None
                )
                judged["first"] = answers[judged["shown_order"][0]]["text"]
            assert blind_one["preferred"] == open_one["preferred"]
            assert blind_one["first"] == open_one["first"]
    assert {"red", "blue"} == set(firsts)


def test_what_is_kept_with_an_item_is_for_leads(place: Place) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    content = rows(
        {"prompt": "Who?", "completions": ["As Zorgon, I do not know.", "Nobody."], "reference": "right"}
        | {"models": ["model/zorgon", "model/blue"], "id": "row-17", "topic": "sums"}
    )
    slug = filled(place, lead, content)
    [item] = lead.get(f"/api/v1/campaigns/{slug}/items").json()["items"]
    adjudicator = place.browser(place.person("Jo", **{slug: "adjudicator"}))
    kept = ("external_id", "metadata", "reference", "reveals")
    path = f"/campaigns/{slug}/items/{item['id']}"
    assert all(lead.get(f"/api/v1{path}").json()["item"][name] for name in kept)
    blind = adjudicator.get(f"/api/v1{path}").json()["item"]
    assert [blind[name] for name in kept] == [None] * 4
    page = path.replace("/campaigns/", "/c/")
    for words in ("row-17", "sums", "Labellers may learn which model", "answer 1:", "model/zorgon"):
        assert (words in lead.get(page).text, words in adjudicator.get(page).text) == (True, False), words


def test_a_tag_that_names_a_model_is_for_leads(place: Place) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    content = rows(
        {"prompt": "Who?", "completions": ["He.", "She."], "models": ["zoo/Zorgon-7B", "model/blue"]}
        | {"tags": ["sums", "by-zorgon-7b", "MODEL/BLUE first"]}
    )
    slug = filled(place, lead, content)
    [item] = lead.get(f"/api/v1/campaigns/{slug}/items").json()["items"]
    path = f"/api/v1/campaigns/{slug}/items/{item['id']}"
    adjudicator = place.browser(place.person("Jo", **{slug: "adjudicator"}))
    assert lead.get(path).json()["item"]["tags"] == ["sums", "by-zorgon-7b", "MODEL/BLUE first"]
    assert adjudicator.get(path).json()["item"]["tags"] == ["sums"]


def test_an_adjudicator_settles_a_flag_on_the_page_of_its_item(place: Place, slug: str) -> None:
    ben = place.person("Ben", **{slug: "labeller"})
    with place.database.write() as connection:
        (task,) = leases.lease_items(connection, place.campaign(slug), ben.rater)
        flag = flags.raise_flag(connection, task.id, ben.rater, reason="broken", note="no question")
    adjudicator = place.browser(place.person("Jo", **{slug: "adjudicator"}))
    item_page = f"/c/{slug}/items/{task.item.id}"
    assert item_page in adjudicator.get(f"/c/{slug}").text
    page = adjudicator.get(item_page).text
    assert "no question" in page and f"flags/{flag}/resolve" in page
    assert "Priority" not in page and "Ben" not in page
    assert adjudicator.post(f"/api/v1/campaigns/{slug}/flags/{flag}/resolve").status_code == 204
    assert "settled" in adjudicator.get(item_page).text
