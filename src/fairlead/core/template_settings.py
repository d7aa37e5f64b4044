"""The `[template]` settings: which chat template a model reads conversations with, and what it is given.

This module does not import torch or transformers; `encoding/template_choice.py` applies the settings.
"""

import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import pydantic

from fairlead.core.config_keys import Advanced, Ref
from fairlead.core.errors import require

# A file, a built-in template, or one of several templates that a tokenizer has by name.
TemplateRef = Annotated[str, Ref("template")]
# One token may be written without the brackets of a list.
Texts = Annotated[
    tuple[str, ...], pydantic.BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
]

NOT_ARGUMENTS = ("messages", "tools", "documents", "add_generation_prompt")  # Fairlead gives these itself


@dataclass(frozen=True, kw_only=True)
class Template:
    """How conversations become text.  Without settings the tokenizer's own chat template decides."""

    # a .jinja file, one of chatml, llama3, gemma, mistral, zephyr, plain, or the name of a template that the
    # tokenizer has
    file: TemplateRef = ""
    # variables for the template, as a JSON object: {"enable_thinking": false}
    arguments: Advanced[str] = ""
    # further tokens that end an answer, beside the template's end of turn and those that the model declares
    stop_tokens: Advanced[Texts] = ()
    # the day that a template writes as today, YYYY-MM-DD; empty is 2025-01-01, so that no run depends on when
    # it runs
    date: Advanced[str] = ""
    # put the system message before the first user turn, for templates that take no system message
    fold_system: Advanced[bool] = False

    def __post_init__(self) -> None:
        values = _json_object(self.arguments)
        why = 'must be a JSON object, for example {"enable_thinking": false}'
        require(values is not None, "arguments", self.arguments, why)
        for name in values or ():
            usable = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and name not in NOT_ARGUMENTS
            why = f"{name!r} cannot be the name of a template's variable"
            require(usable, "arguments", self.arguments, why)
        require(all(self.stop_tokens), "stop_tokens", self.stop_tokens, "must not contain an empty string")
        require(not self.date or _is_day(self.date), "date", self.date, "must be a day, YYYY-MM-DD")

    @property
    def values(self) -> dict[str, Any]:
        """The variables of `arguments`."""
        return _json_object(self.arguments) or {}


def _json_object(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


OWN_TEMPLATE = Template()  # the tokenizer's own template, as it is
