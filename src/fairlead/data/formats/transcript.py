"""Conversations as one text: "Human: … Assistant: …".

White space around a turn is removed.  A turn that quotes "Human:" or "Assistant:" at the start of a paragraph
is split there, which the check of the roles then reports.
"""

import re
from collections.abc import Mapping

from fairlead.data.records import Role

SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
OPEN_SPEAKER = re.compile(r"(?:^|\n)\s*(Human|Assistant)[:：]")  # noqa: RUF001
ROLE_OF: Mapping[str, Role] = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: object) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("Human:")


def open_transcript(text: str) -> list[dict[str, str]] | None:
    """The turns of a text from "Human:" to an empty "Assistant:", where the answer begins; None for others.

    The last word shows that the text is a transcript, so that single line feeds may separate the turns.
    """
    before, *parts = OPEN_SPEAKER.split(text)
    if before.strip() or len(parts) < 4 or parts[0] != "Human" or parts[-2] != "Assistant":
        return None
    if parts[-1].strip():
        return None
    turns = [
        {"role": ROLE_OF[speaker], "content": content.strip()}
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    return turns[:-1]
