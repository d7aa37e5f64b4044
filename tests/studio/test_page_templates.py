"""Pages from templates: escaping, missing values, and the formats of times and names."""

from datetime import UTC
from zoneinfo import ZoneInfo

import jinja2
import pytest
from fastapi import FastAPI, Request

from fairlead.studio import page_templates


@pytest.mark.parametrize(
    ("name", "initials"),
    [
        ("Ada Lovelace", "AL"),
        ("ben", "B"),
        ("Anna Maria van der Berg", "AB"),
        ("  émile   zola ", "ÉZ"),
        ("", ""),
    ],
)
def test_initials_are_those_of_the_first_and_the_last_name(name: str, initials: str) -> None:
    assert page_templates.initials(name) == initials


def test_times_by_hand() -> None:
    time = "2026-01-31T09:30:12.123456+00:00"
    late = "2026-01-31T23:30:12.123456Z"
    for zone, shown in (
        (UTC, "2026-01-31 2026-01-31 09:30 UTC 2026-01-31 UTC"),
        (ZoneInfo("Europe/Berlin"), "2026-01-31 2026-01-31 10:30 CET 2026-02-01 Europe/Berlin"),
    ):
        text = "{{ time | day }} {{ time | minute }} {{ late | day }} {{ time_zone }}"
        assert page_templates.environment(zone).from_string(text).render(time=time, late=late) == shown


def test_values_are_escaped_and_rendered_text_is_not() -> None:
    template = page_templates.environment().from_string("{{ name }} {{ text | rendered }}")
    page = template.render(name="<b>Ada</b>", text="**bold** <i>")
    assert page.startswith("&lt;b&gt;Ada&lt;/b&gt;") and "<strong>bold</strong>" in page
    assert "<i>" not in page


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        page_templates.environment().from_string("{{ name }}").render()


def test_a_page_knows_its_path_and_carries_status_and_headers(app: FastAPI) -> None:
    app.state.templates = jinja2.Environment(
        loader=jinja2.DictLoader({"page.html": "{{ path }} {{ demo }} {{ viewer }} {{ word }}"})
    )
    request = Request({"type": "http", "app": app, "path": "/work", "headers": [], "query_string": b""})
    response = page_templates.page(
        request, "page.html", status=404, headers={"X-Reason": "none"}, word="hello"
    )
    assert response.body == b"/work False None hello"
    assert (response.status_code, response.headers["x-reason"]) == (404, "none")
    assert response.media_type == "text/html"
