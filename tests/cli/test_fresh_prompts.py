"""Judges that cannot judge are refused before anything is sampled."""

from pathlib import Path

import pytest

from fairlead.cli.fresh_prompts import read_rows, require_judge
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError
from fairlead.store.project import Project, create_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made_for_test = create_project(tmp_path / "home")
    rows = [{"prompt": [{"role": "user", "content": f"{n} + 1?"}]} for n in range(3)]
    jsonl.write(made_for_test.data / "none.jsonl", rows)
    jsonl.write(made_for_test.data / "some.jsonl", [rows[0] | {"reference": "1"}, *rows[1:]])
    return made_for_test


def test_a_rule_that_compares_needs_references(project: Project) -> None:
    some, none = (str(project.data / f"{name}.jsonl") for name in ("some", "none"))
    with pytest.raises(DataError, match="3 of 3 prompts do not have .the first is row 1.. Add them"):
        require_judge(project, "rule:maths", none, timeout_s=1.0, drop=True)
    with pytest.raises(DataError, match="2 of 3 prompts do not have .the first is row 2.. Use --too-long"):
        require_judge(project, "rule:maths", some, timeout_s=1.0, drop=False)
    require_judge(project, "rule:maths", some, timeout_s=1.0, drop=True)


def test_a_rule_that_cannot_be_opened_is_refused(project: Project) -> None:
    prompts = str(project.data / "none.jsonl")
    assert len(read_rows(project, prompts)) == 3
    with pytest.raises(ConfigError, match="needs an argument"):
        require_judge(project, "rule:language", prompts, timeout_s=1.0, drop=False)
