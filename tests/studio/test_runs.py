"""Runs, artifacts and lineage as pages and JSON; project files are hostile until they were checked."""

import json
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import web
from databases import Files
from fairlead.labels import campaigns
from fairlead.labels.database import Database
from fairlead.labels.errors import NotFound
from fairlead.store.artifact import Provenance, publish_artifact
from fairlead.store.project import Project
from fairlead.studio import artifact_views, project_files, run_files
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from labels.build import open_campaign
from studio.projects import HOSTILE, SCRIPT, forge, make_artifact, make_run


@pytest.fixture
def database_url(files: Files, tmp_path: Path) -> str:
    """On SQLite only: of a database, these pages ask who is asking and nothing else."""
    return files.copy(tmp_path)


@pytest.fixture
def client(home: Project, database: Database, database_url: str) -> Any:
    app = create_app(Settings(database=database_url, project=home.root), database)
    yield web.browser(app, database, web.person(database, "Ada", "owner"))
    app.state.live.close()


# ---------------------------------------------------------------- what a run says


def test_metrics_come_step_by_step_and_a_line_that_is_being_written_waits(
    client: httpx.Client, home: Project
) -> None:
    folder = make_run(home, steps=3)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "rew')
    first = client.get(f"/api/v1/runs/{folder.name}/metrics").json()
    assert [row["step"] for row in first["rows"]] == [1, 2, 3] and first["last_step"] == 3
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('ard": 0.4}\n')
    assert client.get(f"/api/v1/runs/{folder.name}/metrics", params={"after": 3}).json()["rows"] == [
        {"step": 4.0, "reward": 0.4}
    ]


def test_the_page_of_a_run_draws_curves_and_says_304_while_nothing_changes(
    client: httpx.Client, home: Project
) -> None:
    folder = make_run(home)
    page = client.get(f"/runs/{folder.name}")
    assert (
        page.status_code == 200
        and page.text.count("<svg") >= 2
        and "30 points" in page.text
        and " style=" not in page.text
    )
    first = client.get(f"/runs/{folder.name}/now")
    mark = {"If-None-Match": first.headers["etag"]}
    assert client.get(f"/runs/{folder.name}/now", headers=mark).status_code == 304
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 31, "reward": 9.0}) + "\n")
    again = client.get(f"/runs/{folder.name}/now", headers=mark)
    assert again.status_code == 200 and "31 points" in again.text


def test_lists_of_runs_and_artifacts(client: httpx.Client, home: Project) -> None:
    make_run(home, finished="model/aligned")
    make_artifact(home, "model", "aligned", loss=0.5)
    [run] = client.get("/api/v1/runs").json()
    assert run["made"] == "model/aligned" and run["state"] == "finished"
    [line] = client.get("/api/v1/artifacts").json()["artifacts"]
    assert line["figures"] == [{"name": "loss", "value": 0.5, "low": None, "high": None, "n": None}]
    page = client.get("/runs").text
    assert "aligned" in page and "/artifacts/model/aligned" in page


def test_a_snapshot_is_shown_to_who_watches_its_campaign_and_to_no_other(
    home: Project, database: Database, database_url: str
) -> None:
    app = create_app(Settings(database=database_url, project=home.root), database)
    with database.write() as connection:
        for name in ("Birds", "Stones"):
            campaigns.create(
                connection, campaigns.CampaignSettings(name=name, kind="pairwise"), by="r-00000000aa"
            )
    birds = make_artifact(home, "snapshot", "feathers", config={"campaign": "birds"})
    stones = make_artifact(
        home, "snapshot", "gravel", config={"campaign": "stones", "note": "stones"}, cost=7
    )
    both = make_artifact(home, "model", "both", birds, stones)
    vic = web.browser(app, database, web.person(database, "Vic", birds="viewer", stones="labeller"))
    for client in (vic, web.browser(app, database, web.person(database, "Ann", birds="lead"))):
        assert {one["name"] for one in client.get("/api/v1/artifacts").json()["artifacts"]} == {
            "feathers",
            "both",
        }
        assert "gravel" not in client.get("/runs").text and "gravel" not in client.get("/runs/now").text
        for path in ("/api/v1/artifacts", "/artifacts", "/api/v1/lineage", "/lineage"):
            assert client.get(f"{path}/snapshot/feathers").status_code == 200
            hidden, none = client.get(f"{path}/snapshot/gravel"), client.get(f"{path}/snapshot/granite")
            assert hidden.status_code == 404 and hidden.text == none.text.replace("granite", "gravel")
        assert client.get("/artifacts/snapshot/gravel/rows.jsonl").status_code == 404
        for path in ("/api/v1/lineage", "/lineage"):
            said = client.get(f"{path}/{both.label}").text
            assert "gravel" not in said and "stones" not in said and "of another campaign" in said
    watching = web.browser(app, database, web.person(database, "Wim", "viewer"))
    assert watching.get("/api/v1/artifacts/snapshot/gravel").status_code == 200
    assert "campaign:stones" in watching.get(f"/api/v1/lineage/{both.label}").text
    app.state.live.close()


def test_without_a_project_there_is_nothing_and_no_error(app: FastAPI, database: Database) -> None:
    client = web.browser(app, database, web.person(database, "Ada", "owner"))
    assert (
        client.get("/api/v1/runs").json() == [] and client.get("/api/v1/artifacts").json()["artifacts"] == []
    )
    assert "No project" in client.get("/runs").text
    assert (
        client.get("/api/v1/runs/x").status_code == client.get("/api/v1/artifacts/model/x").status_code == 404
    )


@pytest.mark.parametrize(
    "path",
    ["/runs", "/runs/x", "/artifacts/model/x", "/lineage/model/x", "/api/v1/runs", "/api/v1/lineage/model/x"],
)
def test_who_only_labels_sees_no_models(app: FastAPI, database: Database, path: str) -> None:
    with database.write() as connection:
        open_campaign(connection)
    assert (
        web.browser(app, database, web.person(database, "Ben", helpful_pairwise="labeller"))
        .get(path)
        .status_code
        == 403
    )
    assert web.stranger(app).get(path).status_code in (303, 401)


# ---------------------------------------------------------------- hostile projects


@pytest.mark.parametrize(
    "name", ["..", "../secret", "%2e%2e", "..%2fsecret", ".hidden", "a/b", "x\x00y", "x" * 300, "-x", ""]
)
def test_no_name_leads_out_of_the_project(client: httpx.Client, home: Project, name: str) -> None:
    (home.root / "secret").mkdir()
    (home.root / "secret" / "config.json").write_text("{}")
    with pytest.raises(NotFound):
        project_files.folder_in(home.runs, name)
    for kind in ("model", "..", "runs"):
        with pytest.raises(NotFound):
            artifact_views.get(home, kind, name)
    if "\x00" not in name:
        said = client.get(f"/api/v1/runs/{name}")
        assert said.status_code < 500 and "secret" not in said.text


def test_links_are_not_followed(client: httpx.Client, home: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text(
        json.dumps({"recipe": "secret recipe", "config": {"name": "secret"}})
    )
    (outside / "report.html").write_text("secret page")
    home.runs.joinpath("linked").symlink_to(outside)
    folder = make_run(home)
    for name in ("report.html", "metrics.jsonl"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(outside / "report.html")
    assert [line.id for line in run_files.list_runs(home)[0]] == [folder.name]
    assert client.get("/runs/linked").status_code == 404
    assert client.get(f"/runs/{folder.name}/report.html").status_code == 404
    assert client.get(f"/api/v1/runs/{folder.name}").json()["reports"] == []
    assert client.get(f"/api/v1/runs/{folder.name}/metrics").json()["rows"] == []


def test_a_pipe_does_not_make_anybody_wait(client: httpx.Client, home: Project) -> None:
    folder = make_run(home)
    for name in ("config.json", "metrics.jsonl", "events.jsonl"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    began = time.monotonic()
    assert client.get(f"/runs/{folder.name}").status_code == 200
    assert client.get("/runs").status_code == 200
    assert time.monotonic() - began < 5


BAD_METRICS = [
    b"not json\n",
    b"[1, 2]\n",
    b'{"step": 1, "loss": NaN}\n',
    b'{"step": 1, "loss": 1e999}\n',
    b'{"step": "one", "loss": 1}\n',
    b'{"step": 1, "loss": ' + b"9" * 400 + b"}\n",
    b'{"step": 1, "loss": ' + b"9" * 5000 + b"}\n",
    b'{"step": 1, "a": ' + b"[" * 100_000 + b"}\n",
    b'{"step": 1, "\\ud800": 2}\n',
    b"\xff\xfe\x00\n",
    b'{"step": 1, "' + HOSTILE.encode() + b'": 2}\n',
    json.dumps({"step": 1, HOSTILE: 2.0}).encode() + b"\n",
    json.dumps({"step": 1, **{f"m{k}": k for k in range(5000)}}).encode() + b"\n",
]


@pytest.mark.parametrize("row", BAD_METRICS, ids=range(len(BAD_METRICS)))
def test_any_metrics_can_be_looked_at(client: httpx.Client, home: Project, row: bytes) -> None:
    folder = make_run(home, steps=0)
    (folder / "metrics.jsonl").write_bytes(row * 3 + b'{"step": 2, "loss": 0.5}\n')
    page, said = client.get(f"/runs/{folder.name}"), client.get(f"/api/v1/runs/{folder.name}/metrics")
    assert page.status_code == said.status_code == 200
    assert said.json()["last_step"] == 2
    assert SCRIPT not in page.text and page.text.count("<svg") <= 70


BAD_CONFIGS: list[bytes] = [
    b"",
    b"[]",
    b"{",
    b'{"recipe": 3, "config": [], "inputs": 7, "code": "x"}',
    b'{"recipe": "\\ud800", "config": {}}',
    json.dumps({"recipe": HOSTILE, "config": {"name": HOSTILE, HOSTILE: HOSTILE, "steps": "many"}}).encode(),
    json.dumps({"recipe": "x", "inputs": {HOSTILE: {"name": "javascript:alert(1)/x", "digest": 3}}}).encode(),
    b'{"config": {"name": "x"}}' + b" " * (project_files.MAX_JSON + 1),
]


@pytest.mark.parametrize("content", BAD_CONFIGS, ids=range(len(BAD_CONFIGS)))
def test_any_configuration_can_be_looked_at(client: httpx.Client, home: Project, content: bytes) -> None:
    folder = make_run(home, finished=f"{HOSTILE}/{HOSTILE}")
    (folder / "config.json").write_bytes(content)
    for path in (f"/runs/{folder.name}", "/runs", f"/api/v1/runs/{folder.name}", "/api/v1/runs"):
        said = client.get(path)
        assert said.status_code == 200
        assert SCRIPT not in said.text or said.headers["content-type"] == "application/json"
        assert 'href="javascript:' not in said.text


def test_reports_are_locked_up(client: httpx.Client, home: Project) -> None:
    folder = make_run(home)
    (folder / "report.html").write_text(f"<html>{SCRIPT}<form action='/api/v1/me'></form></html>")
    (folder / "secret.html").write_text("no")
    (home.root / "report.html").write_text(SCRIPT)

    def fill(inside: Path) -> None:
        (inside / "page.html").write_text(SCRIPT)

    made = publish_artifact(
        home, "report", "page", Provenance(parents=(), config={}, seed=0, metrics={}), fill=fill
    )
    for path in (f"/runs/{folder.name}/report.html", "/runs/report", f"/artifacts/{made.label}/page.html"):
        said = client.get(path)
        assert said.status_code == 200 and SCRIPT in said.text
        policy = said.headers["content-security-policy"]
        rules = [rule.strip() for rule in policy.split(";")]
        assert (
            "sandbox" in rules
            and "default-src 'none'" in rules
            and "script-src" not in policy
            and "allow-" not in policy
        )
        assert (
            said.headers["x-content-type-options"] == "nosniff"
            and said.headers["content-type"] == "text/html; charset=utf-8"
        )
    for path in (
        f"/runs/{folder.name}/secret.html",
        f"/runs/{folder.name}/config.json",
        f"/runs/{folder.name}/..%2f..%2freport.html",
        f"/artifacts/{made.label}/manifest.json",
        f"/artifacts/{made.label}/../page/page.html%00",
    ):
        assert client.get(path).status_code == 404


# ---------------------------------------------------------------- artifacts and lineage


def test_an_artifact_with_figures_facts_and_what_it_became(client: httpx.Client, home: Project) -> None:
    def fill(folder: Path) -> None:
        (folder / "config.json").write_text(
            json.dumps({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 4, "hidden_size": 256})
        )
        header = json.dumps(
            {
                "a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]},
                "b": {"dtype": "BF16", "shape": [7]},
            }
        ).encode()
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(74))
        (folder / "admission.json").write_text(
            json.dumps({"verdict": "refuse", "reasons": [HOSTILE], "warnings": []})
        )
        (folder / "datasheet.md").write_text(HOSTILE)

    interval = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 100}
    made = publish_artifact(
        home,
        "reward-model",
        "reward",
        Provenance(parents=(), config={}, seed=3, metrics={"accuracy": interval}),
        fill=fill,
    )
    make_artifact(home, "model", "aligned", made)
    said = client.get(f"/api/v1/artifacts/{made.label}").json()
    assert said["artifact"]["figures"] == [{"name": "accuracy", **interval}]
    assert said["facts"] == {
        "Architecture": "LlamaForCausalLM",
        "Layers": "4",
        "Width": "256",
        "Parameters in its files": "22",
        "Number format": "BF16, F32",
    }
    assert said["verdict"] == "refuse" and said["made"] == ["model/aligned"] and said["seed"] == 3
    page = client.get(f"/artifacts/{made.label}")
    assert (
        page.status_code == 200
        and SCRIPT not in page.text
        and "&lt;script&gt;" in page.text
        and "[0.700, 0.900]" in page.text
    )


def test_a_manifest_that_is_none_is_told_and_harms_no_other(client: httpx.Client, home: Project) -> None:
    good = make_artifact(home, "dataset", "good")
    for name, content in (
        ("bad", "{"),
        ("large", " " * (artifact_views.MAX_MANIFEST + 1)),
        ("half", json.dumps({"kind": "\ud800"})),
    ):
        (home.artifacts / "dataset" / name).mkdir()
        (home.artifacts / "dataset" / name / "manifest.json").write_text(content)
    said = client.get("/api/v1/artifacts").json()
    assert [one["name"] for one in said["artifacts"]] == ["good"] and len(said["problems"]) == 3
    assert str(home.root) not in str(said["problems"])
    assert client.get("/runs").status_code == client.get(f"/lineage/{good.label}").status_code == 200
    assert client.get("/artifacts/dataset/bad").status_code == 422


def test_from_label_to_model(client: httpx.Client, home: Project) -> None:
    labels = make_artifact(home, "snapshot", "helpful-1", config={"campaign": "helpful"})
    base = make_artifact(home, "model", "base")
    reward = make_artifact(home, "reward-model", "reward", labels, base)
    make_artifact(home, "model", "aligned", base, reward)
    make_artifact(home, "dataset", "unrelated")
    said = client.get("/api/v1/lineage/snapshot/helpful-1").json()
    names = {node["key"]: node["label"] for node in said["nodes"]}
    assert sorted(names.values()) == [
        "campaign:helpful",
        "model/aligned",
        "reward-model/reward",
        "snapshot/helpful-1",
    ]
    levels = {node["label"]: node["level"] for node in said["nodes"]}
    assert [
        levels[name]
        for name in ("campaign:helpful", "snapshot/helpful-1", "reward-model/reward", "model/aligned")
    ] == [0, 1, 2, 3]
    edges = {(names[edge["parent"]], names[edge["child"]]) for edge in said["edges"]}
    assert ("campaign:helpful", "snapshot/helpful-1") in edges and (
        "reward-model/reward",
        "model/aligned",
    ) in edges
    page = client.get("/lineage/model/aligned").text
    for word in (
        "/c/helpful",
        "/lineage/snapshot/helpful-1",
        "/lineage/model/base",
        "List",
        'role="group"',
    ):
        assert word in page


def test_a_circle_of_forged_manifests_ends(client: httpx.Client, home: Project) -> None:
    forge(home, "a", "sha256:aa", "sha256:cc")
    forge(home, "b", "sha256:bb", "sha256:aa")
    forge(home, "c", "sha256:cc", "sha256:bb", "sha256:cc", "sha256:dd")
    page = client.get("/lineage/model/a")
    assert page.status_code == 200 and SCRIPT not in page.text
    assert (
        client.get("/api/v1/lineage/model/b").status_code
        == client.get("/artifacts/model/c").status_code
        == 200
    )
