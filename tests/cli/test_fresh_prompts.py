"""Judges that cannot judge are refused before anything is sampled."""

from pathlib import Path

import pytest

from fairlead.cli.fresh_prompts import read_rows, require_judge
from fairlead.core import jsonl
from fairlead.core.config import Ref
from fairlead.core.errors import ConfigError, DataError
from fairlead.store.project import Project, create_project
from fairlead.store.resolve_inputs import resolve_input
from fairlead.train.settings import Scoring


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made_for_test = create_project(tmp_path / "home")
    rows = [{"prompt": [{"role": "user", "content": f"{n} + 1?"}]} for n in range(3)]
    jsonl.write(made_for_test.data / "none.jsonl", rows)
    jsonl.write(made_for_test.data / "some.jsonl", [rows[0] | {"reference": "1"}, *rows[1:]])
    return made_for_test


def judged_by(project: Project, judge: str, file: str, *, drop: bool) -> None:
    prompts = str(project.data / f"{file}.jsonl")
    rows = read_rows(project, prompts)
    assert len(rows) == 3
    source = resolve_input(project, "judge", Ref("reward-model"), judge)
    scoring = Scoring(unreadable_prompts="drop" if drop else "error")
    require_judge(source, rows, prompts=prompts, scoring=scoring)


def test_a_rule_that_compares_needs_references(project: Project) -> None:
    with pytest.raises(DataError, match="cannot read 3 of 3 prompts .row 1.*Correct the prompts"):
        judged_by(project, "rule:maths", "none", drop=True)
    with pytest.raises(DataError, match="cannot read 2 of 3 prompts .row 2.*Add --too-long drop"):
        judged_by(project, "rule:maths", "some", drop=False)
    judged_by(project, "rule:maths", "some", drop=True)


def test_a_rule_that_cannot_be_opened_is_refused(project: Project) -> None:
    with pytest.raises(ConfigError, match="needs an argument"):
        judged_by(project, "rule:language", "none", drop=False)
