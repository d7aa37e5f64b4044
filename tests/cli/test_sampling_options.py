from pathlib import Path

import pytest

from fairlead.cli.sampling_options import read_template
from fairlead.core.errors import ConfigError
from fairlead.core.template_settings import OWN_TEMPLATE
from fairlead.store.project import create_project


def test_template_settings_are_words_of_a_command() -> None:
    assert read_template(None) == OWN_TEMPLATE
    assert read_template(["template.file=plain", "template.fold_system=true"]).file == "plain"


@pytest.mark.parametrize("word", ["template.files=plain", "lr=1", "plain"])
def test_another_word_is_an_error(word: str) -> None:
    with pytest.raises(ConfigError):
        read_template([word])


def test_a_template_is_looked_up_here_and_then_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_project(tmp_path / "project")
    (project.root / "mine.jinja").write_text("in the project", encoding="utf-8")
    (project.root / "deep").mkdir()
    monkeypatch.chdir(project.root / "deep")
    in_project = str(project.root / "mine.jinja")
    assert read_template(["template.file=mine.jinja"]).file == in_project
    (project.root / "deep" / "mine.jinja").write_text("here", encoding="utf-8")
    assert read_template(["template.file=mine.jinja"]).file == "mine.jinja"
    monkeypatch.chdir(tmp_path)
    assert read_template(["template.file=mine.jinja"]).file == "mine.jinja"
    assert read_template(["template.file=mine.jinja"], project.root).file == in_project
