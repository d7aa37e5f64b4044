"""Configuration: sparse TOML and `key=value` in, one frozen dataclass out, resolved JSON beside the run.

A recipe's `Config` is a frozen keyword-only dataclass; pydantic checks the types.  Every problem is reported at once.  No
inheritance between files, no interpolation, no environment.  `knobs` reads the comment beside each field, so that `--help`, the
documentation test and the source say the same thing.
"""

import dataclasses
import difflib
import inspect
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_origin, get_type_hints

import pydantic

from fairlead.core.errors import ConfigError

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Ref:
    """Marks a field that names an input: an artifact of the project, a path, or something on the Hub."""

    kind: str


ModelRef = Annotated[str, Ref("model")]
RewardModelRef = Annotated[str, Ref("reward-model")]
DatasetRef = Annotated[str, Ref("dataset")]
RolloutsRef = Annotated[str, Ref("rollouts")]


class Knob(NamedTuple):
    name: str
    type: str
    default: str | None  # None: required
    help: str


def load(config_class: type[C], path: Path | None = None, overrides: Sequence[str] = ()) -> C:
    """Values from a TOML file, then from `key=value` words; raises ConfigError naming every bad key and value."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    lines: dict[str, str] = {}
    hints = get_type_hints(config_class)
    if path is not None:
        text = _read(path)
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not valid TOML: {error}.") from error
        for number, line in enumerate(text.splitlines(), start=1):
            if match := re.match(r"\s*([A-Za-z_][\w-]*)\s*=", line):
                lines[match[1]] = f"{path}:{number}"
    for word in overrides:
        key, equals, raw = word.partition("=")
        if not equals or not key:
            problems.append(f'"{word}": expected key=value, for example lr=1e-4.')
            continue
        parsed = _parse_word(raw)
        wants_text = hints.get(key) in (str, str | None)  # so that name=2024 is the name "2024"
        values[key] = raw if wants_text and not isinstance(parsed, str) else parsed
        lines[key] = "command line"
    return _validate(config_class, values, lines, problems)


def from_dict(config_class: type[C], values: Mapping[str, Any]) -> C:
    return _validate(config_class, dict(values), {}, [])


def resolved(config: Any) -> dict[str, Any]:
    """Every value, defaults included, as JSON-ready types."""
    return cast(dict[str, Any], pydantic.TypeAdapter(type(config)).dump_python(config, mode="json"))


def refs(config: Any) -> dict[str, tuple[Ref, str]]:
    """The fields that name an input and are not empty: field -> (what kind, the reference).

    A table with references as its keys has an entry for each of them: `constraints.harmless`.
    """
    found: dict[str, tuple[Ref, str]] = {}
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        for mark in _metadata(hint):
            value = getattr(config, name)
            if isinstance(mark, Ref) and isinstance(value, Mapping):
                found |= {f"{name}.{ref}": (mark, ref) for ref in value}
            elif isinstance(mark, Ref) and value:
                found[name] = (mark, value)
    return found


def knobs(config_class: type) -> list[Knob]:
    """Name, type, default and the comment beside each field, in the order of the source."""
    comments = {}
    pending: list[str] = []
    for line in inspect.getsource(config_class).splitlines():
        if match := re.match(r"\s+(\w+)\s*:\s*[^#]*(?:#\s*(.*))?$", line):
            comments[match[1]] = " ".join([*pending, match[2] or ""]).strip()
            pending = []
        elif match := re.match(r"\s+#\s*(.*)$", line):
            pending.append(match[1])
        else:
            pending = []
    found = []
    for field in dataclasses.fields(config_class):
        default = None if field.default is dataclasses.MISSING else repr(field.default)
        if field.default_factory is not dataclasses.MISSING:
            default = repr(field.default_factory())
        found.append(Knob(field.name, _type_name(field.type), default, comments.get(field.name, "")))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}.") from error


def _parse_word(raw: str) -> Any:
    """A command-line value: TOML syntax where it parses (numbers, booleans, lists), otherwise the plain string."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _validate(
    config_class: type[C], values: dict[str, Any], lines: Mapping[str, str], problems: list[str]
) -> C:
    names = [field.name for field in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    for key in [key for key in values if key not in names]:
        near = difflib.get_close_matches(key, names, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Known keys: {', '.join(names)}."
        problems.append(f'{lines.get(key, "configuration")}: unknown key "{key}". {hint}')
        del values[key]
    try:
        config = pydantic.TypeAdapter(config_class).validate_python(values)
    except pydantic.ValidationError as error:
        problems += [_explain(item, lines) for item in error.errors()]
        raise ConfigError(problems) from error
    for name in names:
        value = getattr(config, name)
        inside = value.values() if isinstance(value, Mapping) else [value]
        if any(
            isinstance(one, float) and not math.isfinite(one) for one in inside
        ):  # has no JSON, so the run could not be written down
            problems.append(f"{lines.get(name, 'configuration')}: {name} = {value}: must be a finite number.")
    if problems:
        raise ConfigError(problems)
    return config


def _explain(item: Any, lines: Mapping[str, str]) -> str:
    key = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] in ("missing", "missing_keyword_only_argument", "missing_argument"):
        return f'"{key}" is required: set it in the file or as {key}=VALUE.'
    if item["type"] == "value_error":  # from __post_init__; the message already names the key and the value
        text = str(item["msg"]).removeprefix("Value error, ")
        key = text.split(" = ", 1)[0]
        return f"{lines.get(key, 'configuration')}: {text}."
    return f"{lines.get(key, 'configuration')}: {key} = {item['input']!r}: {str(item['msg'])[:1].lower() + str(item['msg'])[1:]}."


def _metadata(hint: Any) -> tuple[Any, ...]:
    """The marks of `Annotated[...]`, also inside `X | None`."""
    marks = tuple(getattr(hint, "__metadata__", ()))
    for part in getattr(hint, "__args__", ()):
        marks += _metadata(part)
    return marks


def _type_name(hint: Any) -> str:
    if any(isinstance(mark, Ref) for mark in _metadata(hint)):
        kind = next(mark.kind for mark in _metadata(hint) if isinstance(mark, Ref))
        return f"table of {kind} = number" if get_origin(hint) is dict else kind
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
