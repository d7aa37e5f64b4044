"""HH-RLHF format: chosen and rejected are transcripts, "\\n\\nHuman: … \\n\\nAssistant: …"."""

from collections.abc import Mapping
from typing import Any

from fairlead.data.formats.format import Format, Row
from fairlead.data.formats.pair import compare_conversations
from fairlead.data.formats.transcript import ROLE_OF, SPEAKER, is_transcript
from fairlead.data.parsing import required_text
from fairlead.data.records import Comparison, Message, Messages
from fairlead.data.row_problem import RowLocation, reject_row


def recognises(row: Mapping[str, Any]) -> bool:
    return row.get("prompt") is None and any(
        is_transcript(row.get(column)) for column in ("chosen", "rejected")
    )


def convert(row: Mapping[str, Any], where: RowLocation) -> Comparison:
    return compare_conversations(_turns(row, "chosen", where), _turns(row, "rejected", where), {}, where)


def open_turns(row: Row, column: str, where: RowLocation) -> list[dict[str, str]]:
    """The turns of a transcript that ends where the answer begins: "\\n\\nHuman: … \\n\\nAssistant:"."""
    if not is_transcript(row.get(column)):
        return [{"role": "user", "content": required_text(row, column, where)}]
    turns = _turns(row, column, where)
    if turns[-1].role == "assistant" and not turns[-1].content:
        turns = turns[:-1]
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _turns(row: Mapping[str, Any], column: str, where: RowLocation) -> Messages:
    transcript = required_text(row, column, where)
    before, *parts = SPEAKER.split(transcript)
    if before.strip() or not parts:
        reject_row(
            where,
            column,
            transcript,
            'does not begin with "Human:"',
            'A transcript is "\\n\\nHuman: … \\n\\nAssistant: …".',
        )
    return tuple(
        Message(ROLE_OF[speaker], content.strip())
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    )


FORMAT = Format(
    recognises=recognises, convert=convert, reads={"comparison": frozenset({"chosen", "rejected"})}
)
