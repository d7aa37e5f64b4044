"""Pages from templates.  Everything is escaped; rendered Markdown comes in only as `render.Safe`.

A page extends `base.html`, which takes the navigation from `viewer` and, where the page is of a campaign, `viewer.campaign`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from starlette.responses import HTMLResponse

from fairlead.studio import render
from fairlead.studio.auth import Viewer

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(day=day, minute=minute, initials=initials, rendered=render.render)
    return made


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
    return HTMLResponse(text, status, headers=headers)


def day(at: str) -> str:
    """2026-01-31 of a stored time."""
    return at[:10]


def minute(at: str) -> str:
    """2026-01-31 09:30 UTC"""
    return f"{at[:10]} {at[11:16]} UTC"


def initials(name: str) -> str:
    words = name.split()
    return "".join(word[0] for word in ([words[0], words[-1]] if len(words) > 1 else words)).upper()
