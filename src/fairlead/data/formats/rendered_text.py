"""One `text` per row: a conversation that a template has already rendered.

ChatML (`<|im_start|>user`) and the transcripts of Guanaco (`### Human:`) are taken apart.  Other text is a
document, which `fairlead train pretrain` reads as it is.
"""

import re

from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.turns import Turn, read_turns
from fairlead.data.parsing import parse_row, required_text
from fairlead.data.row_problem import RowLocation, reject_row

CHATML = re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)
GUANACO = re.compile(r"(?:^|\n*)### (Human|Assistant|System):", re.MULTILINE)


def recognises(row: Row) -> bool:
    return isinstance(row.get("text"), str) and not row.keys() & {"prompt", "messages", "conversations"}


def convert(row: Row, where: RowLocation) -> Conversion:
    text = required_text(row, "text", where)
    turns = [{"from": speaker, "value": content.strip()} for speaker, content in CHATML.findall(text)]
    outside = CHATML.sub("", text) if turns else ""
    if not turns:
        before, *parts = GUANACO.split(text)
        if parts and not before.strip():
            turns = [
                {"from": speaker, "value": content.strip()}
                for speaker, content in zip(parts[::2], parts[1::2], strict=True)
            ]
    if not turns or outside.strip():
        remedy = (
            "Train on it as it is with `fairlead train pretrain documents=FILE`, "
            "or say what it is, for example --map prompt=text."
        )
        reject_row(where, "text", text, "is a document, not a conversation that can be taken apart", remedy)
    messages: list[Turn] = read_turns(turns, "text", where)
    return parse_row("demonstration", {"messages": messages}, where)


FORMAT = Format(recognises=recognises, convert=convert, reads={"demonstration": frozenset({"text"})})
