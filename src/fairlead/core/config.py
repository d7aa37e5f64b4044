"""Load a configuration: sparse TOML and `key=value` in, one frozen dataclass out, resolved JSON beside the
run.

A recipe's `Config` is a frozen keyword-only dataclass; pydantic checks the types.  Settings that recipes
share are tables, which are fields with a dataclass of their own (see `config_keys`).  A key is written with
its table (`optim.lr`), or alone (`lr`) where no other table of the recipe has the same key.  Giving one key
of a table leaves the recipe's other defaults in that table as they are.

All problems are reported at once.  There is no inheritance between files, no interpolation and no
environment.
"""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import pydantic

from fairlead.core import other_words
from fairlead.core.config_keys import (
    Advanced,
    DatasetRef,
    ModelRef,
    Ref,
    RewardModelRef,
    RolloutsRef,
    default_of,
    hints_by_key,
    marks,
    tables,
)
from fairlead.core.config_numbers import number_problem
from fairlead.core.errors import ConfigError
from fairlead.core.former_keys import FORMER_NAMES, flat_name
from fairlead.core.spelling import KEYS, Spelling

__all__ = [
    "Advanced",
    "DatasetRef",
    "ModelRef",
    "Ref",
    "RewardModelRef",
    "RolloutsRef",
    "by_full_key",
    "defaults",
    "from_dict",
    "load",
    "refs",
    "resolved",
]

C = TypeVar("C")

NOWHERE = "configuration"  # the place of a value that came from Python
COMMAND_LINE = "command line"


class Given(NamedTuple):
    """A value that somebody set, and the place to name in an error."""

    value: Any
    place: str


def load(config_class: type[C], path: Path | None = None, overrides: Sequence[str] = ()) -> C:
    """Values from a TOML file, then `key=value` overrides.  Raises ConfigError with all bad keys.

    The path of a chat template in the file is relative to the folder of the file.
    """
    keys = _Keys(config_class)
    problems: list[str] = []
    given: dict[str, Given] = {}
    if path is not None:
        from_file = _from_file(keys, path, problems)
        given |= {key: _placed(keys, key, value, path.parent) for key, value in from_file.items()}
    given |= _from_words(keys, overrides, problems)
    return _build(config_class, given, problems)


def from_dict(config_class: type[C], values: Mapping[str, Any], *, spelling: Spelling = KEYS) -> C:
    """Values by full key (`optim.lr`), by leaf name (`lr`) or nested (`{"optim": {"lr": ...}}`); as strict as
    a file.  `spelling` is how the command takes these values.
    """
    problems: list[str] = []
    place = COMMAND_LINE if spelling.with_options else NOWHERE
    given = _resolve(_Keys(config_class), _flattened(values, tables(config_class)), {}, place, problems)
    return _build(config_class, given, problems, spelling)


def resolved(config: Any) -> dict[str, Any]:
    """Every value, defaults included, as JSON-ready types; a table is an object."""
    return cast(dict[str, Any], pydantic.TypeAdapter(type(config)).dump_python(config, mode="json"))


def by_full_key(config_class: type, nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"optim": {"lr": 1}}` -> `{"optim.lr": 1}`"""
    result: dict[str, Any] = {}
    table_names = tables(config_class)
    for name, value in nested.items():
        if name in table_names:
            result |= {f"{name}.{leaf}": leaf_value for leaf, leaf_value in value.items()}
        else:
            result[name] = value
    return result


def defaults(config_class: type) -> dict[str, Any]:
    """Full key -> default, JSON-ready, for every key that has a default."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        default = default_of(field)
        if default is dataclasses.MISSING:
            continue
        if field.name in tables(config_class):
            result |= {f"{field.name}.{leaf}": value for leaf, value in resolved(default).items()}
        else:
            result[field.name] = default
    return result


def refs(config: Any) -> dict[str, tuple[Ref, str]]:
    """The keys that name an input and are not empty: role -> (what kind, the reference).

    The role is the flat name of the key: `probe` for `guard.probe`.  A key with a table of references has a
    role for each of them: `constraints.harmless`.
    """
    result: dict[str, tuple[Ref, str]] = {}
    for key, hint in hints_by_key(type(config)).items():
        for mark in marks(hint):
            if not isinstance(mark, Ref):
                continue
            role, value = flat_name(key), value_of(config, key)
            if isinstance(value, Mapping):
                result |= {f"{role}.{ref}": (mark, ref) for ref in value}
            elif value:
                result[role] = (mark, value)
    return result


def value_of(config: Any, key: str) -> Any:
    """The value of a full key."""
    for name in key.split("."):
        config = getattr(config, name)
    return config


class _Keys:
    """The full keys of a configuration class, and what other spellings of them mean."""

    def __init__(self, config_class: type) -> None:
        self.hints = hints_by_key(config_class)
        self.plain_hints = hints_by_key(config_class, with_marks=False)
        self.tables = tables(config_class)
        self.by_leaf: dict[str, list[str]] = {}
        for key in self.hints:
            self.by_leaf.setdefault(key.rpartition(".")[2], []).append(key)
        self.former = {former: key for key, former in FORMER_NAMES.items() if key in self.hints}

    def resolve(self, spelling: str) -> str | None:
        """The full key, or None for an unknown or ambiguous spelling."""
        if spelling in self.hints:
            return spelling
        candidates = self.by_leaf.get(spelling, [])
        return candidates[0] if len(candidates) == 1 else self.former.get(spelling)

    def explain(self, spelling: str, value: Any) -> str:
        """Why `resolve` gave no key for a value, and what to write instead."""
        if len(candidates := self.by_leaf.get(spelling, [])) > 1:
            return f'"{spelling}" is ambiguous. Write {" or ".join(candidates)}.'
        leaf = spelling.rpartition(".")[2]
        if leaf in self.former:
            return f'"{spelling}" is now called "{self.former[leaf]}".'
        if spelling in self.tables:
            leaves = [key for key in self.hints if key.startswith(f"{spelling}.")]
            return f'"{spelling}" is a table. Its keys are {", ".join(leaves)}.'
        if leaf not in self.by_leaf and (other := other_words.replacement(leaf, self.hints)) is not None:
            name, text = self._short(other[0]), other[1] or other_words.written(value)
            return f'unknown key "{spelling}". Fairlead calls this "{name}": write {name}={text}.'
        prefix = spelling.rpartition(".")[0]
        if len(self.by_leaf.get(leaf, [])) == 1 and prefix not in self.tables:
            return f'unknown key "{spelling}". Write {leaf}={other_words.written(value)}.'
        names = [*self.hints, *self.tables, *(leaf for leaf, full in self.by_leaf.items() if len(full) == 1)]
        # A known key in the wrong table is nearer than any similar spelling.
        near = self.by_leaf.get(leaf) or difflib.get_close_matches(spelling, names, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Known keys: {', '.join(self.hints)}."
        return f'unknown key "{spelling}". {hint}'

    def explain_option(self, option: str, value: str) -> str:
        """What to write instead of `--lr=1e-5`: settings have no dashes."""
        name = option.lstrip("-").replace("-", "_")
        text = value or "VALUE"
        key = self.resolve(name)
        if key is not None:
            return f'"{option}": settings are written without dashes: {name}={text}.'
        if (other := other_words.replacement(name, self.hints)) is not None:
            return f'"{option}": write {self._short(other[0])}={other[1] or text}.'
        return f'"{option}": {self.explain(name, text)}'

    def _short(self, key: str) -> str:
        """The key without its table, where that is unique."""
        leaf = key.rpartition(".")[2]
        return leaf if len(self.by_leaf.get(leaf, [])) == 1 else key

    def is_text(self, key: str) -> bool:
        """Whether the key takes text, so that name=2024 is the name "2024"."""
        return self.plain_hints[key] in (str, str | None)


def _from_file(keys: _Keys, path: Path, problems: list[str]) -> dict[str, Given]:
    text = _read(path)
    try:
        values = tomllib.loads(text)
    except ValueError as error:  # also an integer with thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {error}.") from error
    places = {spelling: f"{path}:{number}" for spelling, number in _lines_of_keys(text)}
    return _resolve(keys, _flattened(values, keys.tables), places, str(path), problems)


def _placed(keys: _Keys, key: str, given: Given, folder: Path) -> Given:
    """The value with the path of a template relative to the file that names it."""
    is_template = any(isinstance(mark, Ref) and mark.kind == "template" for mark in marks(keys.hints[key]))
    if not is_template or not isinstance(given.value, str) or not (folder / given.value).is_file():
        return given
    return given._replace(value=str(folder / given.value))


def _from_words(keys: _Keys, words: Sequence[str], problems: list[str]) -> dict[str, Given]:
    values: dict[str, Any] = {}
    written: dict[str, str] = {}
    for word in words:
        spelling, equals, raw = word.partition("=")
        if word.startswith("--"):
            problems.append(keys.explain_option(spelling, raw))
            continue
        if not equals or not spelling:
            problems.append(f'"{word}": expected key=value, for example lr=1e-4.')
            continue
        if spelling in written:
            problems.append(
                f"{COMMAND_LINE}: {spelling} is given twice, as {written[spelling]} and as {raw}. "
                "Set it once."
            )
            continue
        written[spelling] = raw
        parsed = _parse_word(raw)
        key = keys.resolve(spelling)
        # an unknown key is quoted in a message, with the value as it was written
        wants_text = keys.is_text(key) if key is not None else spelling not in keys.tables
        values[spelling] = raw if wants_text and not isinstance(parsed, str) else parsed
    return _resolve(keys, _flattened(values, keys.tables), {}, COMMAND_LINE, problems)


def _flattened(values: Mapping[str, Any], table_classes: Mapping[str, type]) -> Iterator[tuple[str, Any]]:
    """Spelling -> value, one level deep: the entries of a table stand alone."""
    for name, value in values.items():
        if name in table_classes and isinstance(value, table_classes[name]):
            for field in dataclasses.fields(value):  # type: ignore[arg-type]
                yield f"{name}.{field.name}", getattr(value, field.name)
        elif name in table_classes and isinstance(value, Mapping):
            for leaf, leaf_value in value.items():
                yield f"{name}.{leaf}", leaf_value
        else:
            yield name, value


def _resolve(
    keys: _Keys,
    pairs: Iterator[tuple[str, Any]],
    places: Mapping[str, str],
    otherwise: str,
    problems: list[str],
) -> dict[str, Given]:
    """Full key -> value and place; unknown, ambiguous and repeated keys become problems."""
    given: dict[str, Given] = {}
    spellings: dict[str, str] = {}
    for spelling, value in pairs:
        place = places.get(spelling, otherwise)
        key = keys.resolve(spelling)
        if key is None:
            problems.append(f"{place}: {keys.explain(spelling, value)}")
        elif key in given:
            problems.append(
                f'{place}: "{spelling}" and "{spellings[key]}" are the same key. Set one of them.'
            )
        else:
            given[key] = Given(value, place)
            spellings[key] = spelling
    return given


def _lines_of_keys(text: str) -> Iterator[tuple[str, int]]:
    """(key with its TOML table, line number) for every assignment of a TOML file."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = f"{match[1]}."
            yield match[1], number
        elif match := re.match(r"\s*([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)\s*=", line):
            yield f"{table}{match[1]}", number


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}.") from error


def _parse_word(raw: str) -> Any:
    """A command-line value: TOML syntax where it parses (numbers, booleans, lists), otherwise the plain
    string.
    """
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except ValueError:  # no TOML, or an integer with thousands of digits
        return raw


def _build(
    config_class: type[C], given: Mapping[str, Given], problems: list[str], spelling: Spelling = KEYS
) -> C:
    try:
        config = pydantic.TypeAdapter(config_class).validate_python(_nested(config_class, given))
    except pydantic.ValidationError as error:
        hinted = " ".join(problems)  # a key that another word stands for is not missing as well
        explained = [_explain(details, given, spelling) for details in error.errors()]
        problems += [text for text in explained if not _is_hinted(text, hinted)]
        raise ConfigError(problems) from error
    required = _required(config_class)
    for key, hint in hints_by_key(config_class).items():
        value = value_of(config, key)
        if key in required and value == "" and any(isinstance(mark, Ref) for mark in marks(hint)):
            problems.append(f"{_place(key, given)}: {spelling.name(key)} is empty, and it is required.")
        if problem := number_problem(key, value):
            problems.append(f"{_place(key, given)}: {spelling.name(key)} = {value}: {problem}.")
    if problems:
        raise ConfigError(problems)
    return config


def _required(config_class: type) -> set[str]:
    fields = dataclasses.fields(config_class)
    return {field.name for field in fields if default_of(field) is dataclasses.MISSING}


def _nested(config_class: type, given: Mapping[str, Given]) -> dict[str, Any]:
    """What pydantic validates: each table that was touched is the recipe's default table with the given
    values in it.
    """
    values: dict[str, Any] = {}
    table_names = tables(config_class)
    for key, (value, _) in given.items():
        table, _, leaf = key.rpartition(".")
        if table:
            values.setdefault(table, {})[leaf] = value
        else:
            values[key] = value
    for field in dataclasses.fields(config_class):
        default = default_of(field)
        if field.name in table_names and field.name in values and default is not dataclasses.MISSING:
            recipe_defaults = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
            values[field.name] = recipe_defaults | values[field.name]
    return values


def _explain(details: Any, given: Mapping[str, Given], spelling: Spelling) -> str:
    location = [str(name) for name in details["loc"]]
    if details["type"] == "value_error":  # from a __post_init__; its text begins with the key and the value
        text = ".".join([*location, str(details["msg"]).removeprefix("Value error, ")])
        name, _, rest = text.partition(" = ")
        return f"{_place(name, given)}: {spelling.name(name)} = {rest}."
    key = ".".join(location)
    if details["type"] in ("missing", "missing_keyword_only_argument", "missing_argument"):
        return f'"{key}" is required: set it in the file or as {key}=VALUE.'
    message = str(details["msg"])
    name = spelling.name(key)
    return f"{_place(key, given)}: {name} = {details['input']!r}: {message[:1].lower()}{message[1:]}."


def _is_hinted(problem: str, hints: str) -> bool:
    match = re.match(r'"([\w.]+)" is required', problem)
    return match is not None and f" {match[1]}=" in hints


def _place(key: str, given: Mapping[str, Given]) -> str:
    """Where the key was set; an entry of a dictionary was set where the dictionary was."""
    while key and key not in given:
        key = key.rpartition(".")[0]
    return given[key].place if key else NOWHERE
