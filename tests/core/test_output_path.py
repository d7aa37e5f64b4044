from pathlib import Path

import pytest

from fairlead.core.errors import ProjectError
from fairlead.core.output_path import require_outside_artifacts, require_page_name


def test_nothing_is_written_into_an_artifact(tmp_path: Path) -> None:
    artifact = tmp_path / "artifacts" / "model" / "sft"
    artifact.mkdir(parents=True)
    require_outside_artifacts(artifact / "rows.jsonl")  # no artifact yet
    (artifact / "manifest.json").touch()
    for out in (artifact / "rows.jsonl", artifact / "below" / "more"):
        with pytest.raises(ProjectError, match="is inside the artifact model/sft, which must not change"):
            require_outside_artifacts(out)
    require_outside_artifacts(tmp_path / "rows.jsonl")
    (tmp_path / "manifest.json").touch()  # of something else
    require_outside_artifacts(tmp_path / "data" / "rows.jsonl")


@pytest.mark.parametrize("name", ["rule.py", "rows.jsonl", "report"])
def test_a_page_does_not_replace_another_kind_of_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProjectError, match=r"Choose a name that ends in \.html"):
        require_page_name(tmp_path / name)


def test_a_page_is_no_folder(tmp_path: Path) -> None:
    require_page_name(tmp_path / "report.html")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ProjectError, match="is a folder"):
        require_page_name(tmp_path / "report.html")
