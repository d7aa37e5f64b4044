"""What a command says: its result on standard output, as text or as one JSON object; notes on the way and errors on standard error.

Text that comes from files is shown without the control characters that could drive a terminal.
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
    shown: Sequence[RenderableType],
    *,
    as_json: bool,
    read: Sequence[str | Path] = (),
    wrote: Sequence[Path] = (),
    next: str | None = None,
) -> None:
    """The result: `facts` for programs, `shown` for people, and for both what was read and written and what to run next."""
    if as_json:
        print(
            jsonl.dumps(
                {
                    **facts,
                    "read": [relative_path(one) for one in read],
                    "wrote": [relative_path(one) for one in wrote],
                    "next": next,
                }
            )
        )
        return
    for part in shown:
        print_text(part)
    for label, names in (("read", read), ("wrote", wrote)):
        if names:
            print_text(f"{label:<6}{', '.join(relative_path(name) for name in names)}")
    if next:
        print_text(f"{'next':<6}{next}")


def print_text(part: RenderableType) -> None:
    """For people, on standard output; a string is neither wrapped nor read as markup."""
    console = Console(highlight=False)
    if isinstance(part, str):
        console.print(visible(part), markup=False, soft_wrap=True)
    else:
        console.print(part)


def print_note(text: str) -> None:
    """On standard error: how far it is, what else there is to know, what went wrong."""
    print(visible(text), file=sys.stderr, flush=True)


def print_error_object(name: str, message: str, exit_code: int) -> None:
    """For programs; a command that failed so has no other object on standard output."""
    print(jsonl.dumps({"error": name, "message": message, "exit_code": exit_code}))


def relative_path(place: str | Path) -> str:
    """A path as somebody in this folder would write it; any other text unchanged."""
    if isinstance(place, str):
        return place
    here = Path.cwd()
    full = place.absolute()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)


def visible(text: str) -> str:
    from fairlead.report import formatting  # brings scipy along

    return formatting.visible(text)
