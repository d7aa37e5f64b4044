"""From a template and data to one self-contained page.  Everything that comes in is untrusted text: escaped,
and made visible.

The page needs no script and no file or server beside it; its own policy forbids both.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from fairlead.report import formatting

TEMPLATES = Path(__file__).parent / "templates"


class ConfigGroup(NamedTuple):
    name: str  # empty where there is only one
    values: list[tuple[str, str]]


def render_template(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=formatting.count,
        duration=formatting.duration,
        fixed=formatting.fixed,
        fixed_range=formatting.fixed_range,
        number=formatting.number,
        percent=formatting.percent,
        percent_range=formatting.percent_range,
    )
    return environment.get_template(template).render(**values)


def config_groups(config: Mapping[str, Any]) -> list[ConfigGroup]:
    """A configuration of one level, or of one level per stage, as rows of text."""
    alone = [(key, _plain(value)) for key, value in config.items() if not isinstance(value, Mapping)]
    nested = len(alone) < len(config)
    groups = [ConfigGroup("general" if nested else "", alone)] if alone else []
    for name, value in config.items():
        if isinstance(value, Mapping):
            groups.append(ConfigGroup(name, [(key, _plain(inner)) for key, inner in value.items()]))
    return groups


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _finalize(value: Any) -> Any:
    """Runs on every {{ }} before escaping.  Markup was made by `charts`, which did the same to its texts."""
    return formatting.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
