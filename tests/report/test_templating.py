"""Templates of the report: escaping, visible control characters, and rows of a configuration."""

from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from fairlead.report import templating
from fairlead.report.templating import ConfigGroup


@pytest.fixture(autouse=True)
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templating, "TEMPLATES", tmp_path)
    (tmp_path / "page.html").write_text("<p>{{ text }}</p>")
    (tmp_path / "share.html").write_text("{{ share | percent }}, {{ number | number }}")


def test_text_is_escaped_and_its_control_characters_are_visible() -> None:
    page = templating.render_template("page.html", text="<b>\u202e & \x07")
    assert page.startswith("<p>&lt;b&gt;") and "&amp;" in page
    assert "\u202e" not in page and "\x07" not in page


def test_markup_is_not_escaped_again() -> None:
    assert templating.render_template("page.html", text=Markup("<svg></svg>")) == "<p><svg></svg></p>"


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined"):
        templating.render_template("page.html")


def test_templates_can_format_numbers() -> None:
    assert (
        templating.render_template("share.html", share=0.25, number=1.5) == "25\u202f%, 1.50"
    )  # a narrow space


def test_a_flat_configuration_is_one_group_without_a_name() -> None:
    groups = templating.config_groups({"lr": 0.1, "model": "base", "trust": None, "words": ["a", "ü"]})
    rows = [("lr", "0.1"), ("model", "base"), ("trust", "null"), ("words", '["a", "ü"]')]
    assert groups == [ConfigGroup("", rows)]


def test_tables_of_a_configuration_are_groups_after_the_general_one() -> None:
    groups = templating.config_groups({"optim": {"lr": 0.1}, "name": "a", "adapter": {"rank": 16}})
    assert groups == [
        ConfigGroup("general", [("name", "a")]),
        ConfigGroup("optim", [("lr", "0.1")]),
        ConfigGroup("adapter", [("rank", "16")]),
    ]
    assert templating.config_groups({"optim": {"lr": 0.1}}) == [ConfigGroup("optim", [("lr", "0.1")])]
    assert templating.config_groups({}) == []
