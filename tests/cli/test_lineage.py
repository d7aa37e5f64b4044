"""`fairlead lineage`: ancestors and verification."""

from pathlib import Path

from outcome import Cli


def test_lineage_leads_back_to_the_first_file(cli: Cli, project: Path) -> None:
    result = cli("lineage", "show", "sft", "--project", project)
    assert result.code == 0
    assert [line.strip().split("  ")[0] for line in result.out.splitlines()[:4]] == [
        "model/sft",
        "demonstrations: file:data/demonstrations.jsonl",
        "model: model/base",
        "documents: file:data/documents.jsonl",
    ]
    nodes = cli("lineage", "show", "sft", "--project", project, "--json").json["nodes"]
    assert {node["name"]: node["status"] for node in nodes} == {
        "model/sft": "present",
        "file:data/demonstrations.jsonl": "outside",
        "model/base": "present",
        "file:data/documents.jsonl": "outside",
    }


def test_verify_exits_1_where_a_file_was_changed(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert cli("lineage", "verify", "--project", project, "--json").json == {
        "artifact": None,
        "ok": True,
        "problems": [],
        "read": [str(project / "artifacts")],
        "wrote": [],
        "next": None,
    }
    changed = project / "artifacts" / "model" / "base" / "generation_config.json"
    before = changed.read_bytes()
    changed.write_bytes(before + b"\n")
    result = cli("lineage", "verify", "sft", "--project", project)
    as_json = cli("lineage", "verify", "sft", "--project", project, "--json")
    changed.write_bytes(before)
    assert result.code == 1
    assert "model/base: generation_config.json was changed." in result.out
    assert as_json.code == 1 and as_json.json["ok"] is False
