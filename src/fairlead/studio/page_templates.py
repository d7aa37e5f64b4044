"""Renders pages from templates.  Every value is escaped; rendered Markdown passes only as `safe_html.Safe`.

Pages extend `base.html`, which builds the navigation from `viewer` and `viewer.route_campaign`.
"""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from starlette.responses import HTMLResponse

from fairlead.core.plural import counted
from fairlead.studio import phrases, public_path, safe_html
from fairlead.studio.auth import Viewer

TEMPLATES = Path(__file__).parent / "templates"


def environment(zone: tzinfo = UTC) -> jinja2.Environment:
    """The filters for times show them in this time zone."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        day=partial(phrases.day, zone=zone),
        minute=partial(phrases.minute, zone=zone),
        initials=initials,
        rendered=safe_html.render,
        counted=counted,
    )
    templates.globals["time_zone"] = str(zone).replace("_", " ")
    return templates


def page(
    request: Request,
    template: str,
    viewer: Viewer | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    templates: jinja2.Environment = request.app.state.templates
    text = templates.get_template(template).render(
        viewer=viewer, path=request.url.path, demo=request.app.state.demo, **values
    )
    text = public_path.add_to_links(text, request.app.state.settings.path)
    return HTMLResponse(text, status, headers=headers)


def initials(name: str) -> str:
    """The first letters of the first and the last name."""
    names = name.split()
    chosen = [names[0], names[-1]] if len(names) > 1 else names
    return "".join(part[0] for part in chosen).upper()
