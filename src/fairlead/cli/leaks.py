"""The option and the lines of commands that check their prompts against training prompts."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fairlead.core.plural import agreeing, counted

ExcludeLeaks = Annotated[
    bool,
    typer.Option(
        "--exclude-leaks",
        help="Leave out prompts that the examined models or the judge were trained on, and count them.",
    ),
]


def leak_lines(leaks: Mapping[str, Any]) -> list[str]:
    """Who was trained on the prompts that were left out, and what could not be checked."""
    lines = []
    if leaks["rows"]:
        lines.append(
            f"Seen in training: {leaks['rows']:,} of {counted(leaks['of'], 'row')}, because "
            f"{' and '.join(leaks['by'])} {agreeing(len(leaks['by']), 'was')} trained on "
            f"{'the prompt' if leaks['rows'] == 1 else 'these prompts'}."
        )
    return lines + [f"Not checked for leaks: {sentence}" for sentence in leaks["not_checked"]]
