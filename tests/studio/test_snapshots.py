from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from fairlead.core import digest
from fairlead.store.artifact import find_artifact, verify_artifact
from fairlead.studio.pages.snapshots import FilterForm, describe_filters
from studio.leads import Place, filled, judge, pairs


@pytest.fixture
def slug(place: Place) -> str:
    """Three judgements: a clear one, a slight one, a tie."""
    made = filled(place, place.browser(place.person("Ada", "lead")), pairs(3))
    judge(place, made, place.person("Ben Okri"), {"choice": 1}, {"choice": 3}, {"choice": 4})
    return made


def test_a_preview_a_snapshot_and_its_files(place: Place, slug: str) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    api = f"/api/v1/campaigns/{slug}/snapshots"
    looked = lead.post(f"{api}/preview", json={"ties": False}).json()
    assert looked["counts"]["files"] == {"comparisons": 2} and looked["counts"]["left_out"] == {"a tie": 1}
    assert {one["name"]: one["counts"]["files"] for one in looked["alternatives"]}["margin at least 2"] == {
        "comparisons": 1
    }
    job = lead.post(api, json={"name": "help-1", "filters": {"ties": False}})
    assert job.status_code == 202
    assert [done.state for done in place.work()] == ["done"]
    (made,) = lead.get(api).json()["snapshots"]
    assert made == lead.get(f"{api}/help-1").json()
    assert (made["counts"], made["train"]) == (
        looked["counts"],
        "fairlead train dpo name=dpo model=MODEL comparisons=snapshot/help-1",
    )
    stored = find_artifact(place.project, "snapshot/help-1")
    assert stored is not None and stored.manifest.digest == made["digest"] and verify_artifact(stored) == []
    for file in made["files"]:
        answer = lead.get(f"{api}/help-1/files/{file}")
        assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"], file
        assert stored.manifest.files.get(file) in (None, digest.of_bytes(answer.content))
    for wrong in ("other.jsonl", "..%2Fmanifest.json", ".lock"):
        assert lead.get(f"{api}/help-1/files/{wrong}").status_code == 404, wrong
    assert lead.post(api, json={"name": "help-1"}).status_code == 409
    assert lead.post(api, json={"name": "../x"}).status_code == 422
    assert lead.post(api, json={"name": "x", "filters": {"min_margin": 9}}).status_code == 422


def test_pages_count_while_filters_are_chosen_and_show_the_datasheet(place: Place, slug: str) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    page = lead.get(f"/c/{slug}/snapshots").text
    assert f'value="{slug}-1"' in page and "Include ties" in page
    part = lead.get(f"/c/{slug}/snapshots-preview?ties=true&late=true&quick=true&rows=judgement").text
    assert '<span class="value">3</span>' in part and "<html" not in part
    fewer = lead.get(f"/c/{slug}/snapshots-preview?late=true&quick=true&min_margin=3").text
    assert '<span class="value">1</span>' in fewer and "2 × " not in fewer and "1 × a tie" in fewer
    lead.post(f"/api/v1/campaigns/{slug}/snapshots", json={"name": "s"})
    place.work()
    shown = lead.get(f"/c/{slug}/snapshots/s").text
    assert "Known limits" in shown and "comparisons=snapshot/s" in shown
    assert lead.get(f"/c/{slug}/snapshots/none").status_code == 404
    viewer = place.browser(place.person("Vera", **{slug: "viewer"}))
    seen = viewer.get(f"/c/{slug}/snapshots")
    assert seen.status_code == 200 and "New snapshot" not in seen.text and "Ben Okri" not in seen.text
    assert viewer.get(f"/c/{slug}/snapshots/s").status_code == 200
    assert viewer.post(f"/api/v1/campaigns/{slug}/snapshots/preview", json={}).status_code == 403
    assert (
        place.browser(place.person("Lab", **{slug: "labeller"}))
        .get(f"/api/v1/campaigns/{slug}/snapshots")
        .status_code
        == 403
    )


def test_a_snapshot_of_another_campaign_is_not_there(place: Place, slug: str) -> None:
    lead = place.browser(place.person("Lea", "lead"))
    lead.post(f"/api/v1/campaigns/{slug}/snapshots", json={"name": "s"})
    place.work()
    lead.post("/api/v1/campaigns", json={"name": "Other", "kind": "pairwise"})
    assert lead.get("/api/v1/campaigns/other/snapshots/s").status_code == 404
    assert lead.get("/api/v1/campaigns/other/snapshots/s/files/comparisons.jsonl").status_code == 404


def test_only_some_people_or_all_but_these(place: Place) -> None:
    cleo, ben = place.person("Cleo Laine"), place.person("Ben Okri")
    other = filled(place, place.browser(place.person("Olga", "lead")), pairs(4), overlap=2)
    judge(place, other, cleo, {"choice": 1})
    judge(place, other, ben, {"choice": 1}, {"choice": 2})
    lead = place.browser(place.person("Lea", "lead"))
    page = lead.get(f"/c/{other}/snapshots").text
    assert f'name="raters" value="{cleo.rater}">Cleo Laine' in page and "only the chosen" in page
    rest = "ties=true&late=true&quick=true"

    def judged(query: str) -> str:
        part = lead.get(f"/c/{other}/snapshots-preview?{rest}&{query}").text
        return part.split("judgements used")[1].split('value">')[1].split("<")[0]

    assert judged(f"whose=only&raters={cleo.rater}") == "1"
    assert judged(f"whose=without&raters={cleo.rater}") == "2"
    assert judged(f"whose=only&raters={cleo.rater}&raters={ben.rater}") == "3"
    assert judged("whose=only") == judged("whose=without") == "3"
    only = FilterForm(whose="only", raters=[cleo.rater], ties=True, late=True, quick=True).filters(UTC)
    assert (only.raters, only.without_raters) == ((cleo.rater,), ())
    assert "only by 1 person" in describe_filters(only)


def test_whole_days_are_meant() -> None:
    form = FilterForm(since="2026-01-31", until="2026-01-31", ties=True, late=True, quick=True)
    filters = form.filters(UTC)
    assert (filters.since, filters.until) == ("2026-01-31T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z")
    assert describe_filters(filters) == [
        "one row per judgement",
        "made at 2026-01-31 00:00 UTC or later",
        "made before 2026-02-01 00:00 UTC",
    ]
    berlin = ZoneInfo("Europe/Berlin")
    filters = form.filters(berlin)
    assert (filters.since, filters.until) == ("2026-01-30T23:00:00.000000Z", "2026-01-31T23:00:00.000000Z")
    assert "made before 2026-02-01 00:00 CET" in describe_filters(filters, berlin)
    for impossible in ("2026-13-01", "0001-01-01", "9999-12-31"):
        assert FilterForm(since=impossible).filters(berlin).since is None
    assert FilterForm(rows="item").filters(UTC).by_item
    assert FilterForm(rows="weighed").filters(UTC).equal_items


def test_everything_can_be_exported_by_leads_in_three_formats(place: Place) -> None:
    lead = place.browser(place.person("Ada", "lead"))
    slug = filled(place, lead, pairs(2, topic="sums"))
    ben = place.person("Ben Okri")
    judge(place, slug, ben, {"choice": 1}, note="=cmd")
    for format in ("jsonl", "csv", "parquet"):
        answer = lead.get(f"/api/v1/campaigns/{slug}/export", params={"format": format})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == f'attachment; filename="{slug}.{format}"'
        assert f"export?format={format}" in lead.get(f"/c/{slug}/snapshots").text
        assert b"Okri" not in answer.content and b"sums" in answer.content
    assert lead.get(f"/api/v1/campaigns/{slug}/export", params={"format": "xlsx"}).status_code == 422
    assert place.browser(ben).get(f"/api/v1/campaigns/{slug}/export").status_code == 403
