"""Jobs of a campaign: progress, cancelling and resuming."""

from studio.leads import Place, pairs, upload


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
