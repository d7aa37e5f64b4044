"""Output of the commands: results on standard output, as text or JSON; notes and errors on standard error.

Text from files is shown without the control characters that could drive a terminal.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from fairlead.core import jsonl

AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")]


def print_result(
    facts: Mapping[str, Any],
    lines: Sequence[RenderableType],
    *,
    as_json: bool,
    read: Sequence[str | Path] = (),
    wrote: Sequence[Path] = (),
    next: str | Sequence[str] | None = None,
    health: str = "",
) -> None:
    """Print `facts` as JSON or `lines` as text, with the files read and written and the next command.

    Of several next commands, the others are alternatives to the first.  `health` is a problem of the result
    that nobody should miss; it comes last.
    """
    commands = [next] if isinstance(next, str) else list(next or ())
    if as_json:
        places = {
            "read": [relative_path(place) for place in read],
            "wrote": [relative_path(path) for path in wrote],
        }
        plain = [command.partition("  #")[0] for command in commands]
        more: dict[str, object] = {"or": plain[1:]} if plain[1:] else {}
        more |= {"health": health} if health else {}
        print(jsonl.dumps({**facts, **places, "next": plain[0] if plain else None, **more}))
        return
    for line in lines:
        print_text(line)
    for label, places_of_label in (("read", read), ("wrote", wrote)):
        if places_of_label:
            print_text(f"{label:<6}{', '.join(relative_path(place) for place in places_of_label)}")
    for i, command in enumerate(commands):
        print_text(f"{'or' if i else 'next':<6}{command}")
    if health:
        print_text(f"health  {health}")


def print_text(text: RenderableType) -> None:
    """Print on standard output.  Strings are neither wrapped nor parsed as markup."""
    console = Console(highlight=False)
    if isinstance(text, str):
        console.print(visible(text), markup=False, soft_wrap=True)
    else:
        console.print(text)


def print_note(text: str) -> None:
    """Print a note, a warning or an error on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def print_error_object(name: str, message: str, exit_code: int) -> None:
    """Print an error as JSON.  A failed command prints no other object on standard output."""
    print(jsonl.dumps({"error": name, "message": message, "exit_code": exit_code}))


def relative_path(place: str | Path) -> str:
    """A path relative to the current folder where it lies below that folder; other texts unchanged."""
    if isinstance(place, str):
        return place
    current_folder = Path.cwd()
    path = place.absolute()
    return str(path.relative_to(current_folder) if path.is_relative_to(current_folder) else path)


def visible(text: str) -> str:
    """The text without control characters."""
    from fairlead.report import formatting

    return formatting.visible(text)
