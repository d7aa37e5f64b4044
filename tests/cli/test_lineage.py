"""`fairlead lineage`: ancestors and verification."""

import shutil
from pathlib import Path

import fairlead
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
        "file:data/demonstrations.jsonl": "present",
        "model/base": "present",
        "file:data/documents.jsonl": "present",
    }


def test_verify_exits_1_where_a_file_was_changed(cli: Cli, project: Path, tmp_path: Path) -> None:
    # Other tests use this project too, some with inputs from elsewhere or judges that change.
    project = shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(project / "artifacts" / "evaluation", ignore_errors=True)
    verified = cli("lineage", "verify", "--project", project, "--json").json
    assert all(line.endswith("is outside the project, not checked.") for line in verified.pop("not_checked"))
    assert all(f"is part of Fairlead {fairlead.__version__}." in line for line in verified.pop("built_in"))
    assert verified == {
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


def test_verify_exits_1_where_a_training_file_was_changed_or_is_missing(cli: Cli, project: Path) -> None:
    rows = project / "data" / "demonstrations.jsonl"
    before = rows.read_bytes()
    rows.write_bytes(before + b"\n")
    changed = cli("lineage", "verify", "sft", "--project", project)
    rows.unlink()
    missing = cli("lineage", "verify", "--project", project)
    rows.write_bytes(before)
    assert (changed.code, missing.code) == (1, 1)
    assert "model/sft: its demonstrations, file:data/demonstrations.jsonl, was changed." in changed.out
    assert "file:data/demonstrations.jsonl, is missing. Restore the file." in missing.out
