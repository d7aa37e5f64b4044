"""Which chat template a model reads, and what the `[template]` settings make of it.

The choice is `template.file`, or else the tokenizer's own template.  A tokenizer without one is refused:
which layout a base model is to learn is a decision, and it has to be written down.

Settings become part of the template's text, in lines of Jinja before it.  The text is saved with a trained
model, so transformers, vLLM and others prompt it as it was trained.  The first line holds the settings as
JSON, from which Fairlead reads them back.
"""

import json
import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError, meta
from transformers import PreTrainedTokenizerBase

from fairlead.core.downloaded_files import check_downloaded
from fairlead.core.errors import ConfigError, ModelError
from fairlead.core.template_settings import Template
from fairlead.encoding import template_limits
from fairlead.encoding.built_in_templates import BUILT_IN, read_template

FIXED_DAY = "2025-01-01"  # what a template reads as today, unless template.date says otherwise
TOOL_TEMPLATE = "tool_use"  # the name under which transformers looks for a template for rows with tools

_FIRST_LINE = re.compile(r"\{#- fairlead (?P<json>.*?) -#\}.*?\{# end of the settings #\}\n", re.DOTALL)
_RANDOM = re.compile(r"\|\s*random\b|\blipsum\b")  # Jinja's filter, and its function that writes text


class ChosenTemplate(NamedTuple):
    text: str  # with the lines of the settings
    tool_text: str  # the template for rows with tools; usually the same
    origin: str  # what an error calls it
    stop_tokens: tuple[str, ...]
    reads_clock: bool  # and the settings name no day, so that the fixed one is used


def choose_template(tokenizer: PreTrainedTokenizerBase, settings: Template, source: str) -> ChosenTemplate:
    """The template for a tokenizer.  `source` names the model in errors.

    Raises ModelError if there is none or if it does not fit the tokenizer, ConfigError if a setting does not
    fit the template.
    """
    text, tool_text, origin = _template_text(tokenizer, settings, source)
    stored, body = _split(text)
    _, tool_body = _split(tool_text)
    _check_syntax(body, origin)
    if _RANDOM.search(body + tool_body):
        raise ModelError(
            f"{origin} draws at random, so that training and sampling would read different texts. "
            "Set another with template.file."
        )
    _check_arguments(body, settings, origin)
    day = settings.date or stored.date
    reads_clock = "strftime_now" in body and not day
    stop_tokens = settings.stop_tokens or stored.stop_tokens
    chosen = {
        "arguments": stored.values | settings.values,
        "date": day or (FIXED_DAY if reads_clock else ""),
        "fold_system": settings.fold_system or stored.fold_system,
        "stop_tokens": stop_tokens,
    }
    lines = _lines(chosen)
    return ChosenTemplate(lines + body, lines + tool_body, origin, stop_tokens, reads_clock)


def fitting_built_ins(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The built-in templates whose control tokens the tokenizer has."""
    vocabulary = tokenizer.get_vocab()
    return [
        name for name, built_in in BUILT_IN.items() if all(token in vocabulary for token in built_in.tokens)
    ]


def _template_text(
    tokenizer: PreTrainedTokenizerBase, settings: Template, source: str
) -> tuple[str, str, str]:
    """Text, text for rows with tools, and what errors call the template."""
    own = tokenizer.chat_template or {}
    named: Mapping[str, str] = own if isinstance(own, dict) else {"default": own}
    if settings.file in BUILT_IN and settings.file not in named:
        fitting = fitting_built_ins(tokenizer)
        if settings.file not in fitting:
            missing = [
                token for token in BUILT_IN[settings.file].tokens if token not in tokenizer.get_vocab()
            ]
            raise ModelError(
                f"template.file={settings.file}: the tokenizer of {source} has no token {missing[0]!r}, "
                "which "
                f"this template writes. Built-in templates that fit it: {', '.join(fitting)}."
            )
        text = BUILT_IN[settings.file].text
        return text, text, f"the built-in template {settings.file}"
    if settings.file and settings.file not in named:
        text = _read(settings.file)
        return text, text, f"the chat template {settings.file}"
    name = settings.file or "default"
    if name in named:
        default = named[name]
        return default, named.get(TOOL_TEMPLATE, default), f"the chat template of {source}"
    if named:
        raise ModelError(
            f"{source}: the tokenizer has several chat templates and none is the default. Choose one: "
            f"template.file={' or template.file='.join(sorted(named))}."
        )
    raise ModelError(
        f"{source}: the tokenizer has no chat template, so nothing says how a conversation is written. "
        "Choose "
        f"one: template.file={'|'.join(fitting_built_ins(tokenizer))}, or template.file=PATH of a .jinja "
        "file."
    )


def _read(file: str) -> str:
    path = Path(os.path.expanduser(file))
    if path.is_dir():
        raise ModelError(f"template.file={file}: is a folder. Name the .jinja file in it.")
    try:
        check_downloaded(path, name=f"template.file={file}")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ModelError(
            f"template.file={file}: no such file, and no built-in template ({', '.join(BUILT_IN)})."
        ) from error
    except OSError as error:
        raise ModelError(f"template.file={file}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ModelError(
            f"template.file={file}: is not text in UTF-8. Save it as UTF-8, or name a .jinja file."
        ) from error
    if path.suffix == ".json":  # tokenizer_config.json and the like
        try:
            text = json.loads(text)["chat_template"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"template.file={file}: holds no chat_template. Name the .jinja file of the model instead."
            ) from error
    if not isinstance(text, str) or not text.strip():
        raise ModelError(f"template.file={file}: holds no chat template. Name a .jinja file with one.")
    return text


def _split(text: str) -> tuple[Template, str]:
    """The settings that a text saved by Fairlead begins with, and the template itself."""
    match = _FIRST_LINE.match(text)
    if match is None:
        return Template(), text
    try:
        stored = json.loads(match["json"])
        settings = Template(
            arguments=json.dumps(stored["arguments"]),
            stop_tokens=tuple(str(token) for token in stored["stop_tokens"]),
            date=str(stored["date"]),
            fold_system=bool(stored["fold_system"]),
        )
    except (ValueError, KeyError, TypeError):  # not written by Fairlead
        return Template(), text
    return settings, text[match.end() :]


def _check_syntax(body: str, origin: str) -> None:
    try:
        template_limits.start(origin)
        template_limits.compiled(body)
    except (TemplateError, RecursionError, MemoryError) as error:
        raise ModelError(f"{origin} is not valid Jinja: {error}. Set another with template.file.") from error


def _check_arguments(body: str, settings: Template, origin: str) -> None:
    environment = template_limits.compiled(body).environment
    read = meta.find_undeclared_variables(environment.parse(body))
    for name in settings.values:
        if name not in read:
            own = sorted(
                read
                - {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"}
                - set(environment.globals)
            )
            others = f"It reads {', '.join(own)}." if own else "It reads none."
            raise ConfigError(f"template.arguments: {origin} does not read {name!r}. {others}")


def _lines(settings: Mapping[str, Any]) -> str:
    """The settings as Jinja, to stand before a template; empty if nothing is set."""
    if not any(settings.values()):
        return ""
    stored = json.dumps(settings, sort_keys=True).replace("#", "\\u0023")  # no value can end the comment
    parts = [f"{{#- fairlead {stored} -#}}"]
    parts += [
        f"{{%- if {name} is not defined -%}}{{%- set {name} = {_literal(value)} -%}}{{%- endif -%}}"
        for name, value in settings["arguments"].items()
    ]
    if settings["date"]:
        parts.append(_clock(settings["date"]))
    if settings["fold_system"]:
        parts.append(read_template("fold_system"))
    # Jinja drops the line break after a comment, so the template begins at the start of a line as before.
    return "\n".join(parts) + "{# end of the settings #}\n"


def _literal(value: object) -> str:
    """A JSON value in Jinja's notation."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _clock(day: str) -> str:
    """A macro in place of transformers' `strftime_now`, which always writes the same day."""
    moment = date.fromisoformat(day)
    codes = ("%-d", "%-m", *(f"%{letter}" for letter in "dmbBYyAajHMS"))
    replaced = "".join(f" | replace('{code}', '{moment.strftime(code)}')" for code in codes)
    return (
        "{%- macro strftime_now(format) -%}{{- format | replace('%F', '%Y-%m-%d')"
        f"{replaced} -}}}}{{%- endmacro -%}}"
    )
