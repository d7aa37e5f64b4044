"""BeaverTails: one answer, `is_safe`, and the kinds of harm that it does.  A safe answer is a good one."""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import required_text
from fairlead.data.records import Binary
from fairlead.data.row_problem import RowLocation

COLUMNS = frozenset({"prompt", "response", "is_safe"})


def recognises(row: Row) -> bool:
    return row.keys() >= COLUMNS


def convert(row: Row, where: RowLocation) -> Conversion:
    binary = Binary(
        feedback.user_turn(required_text(row, "prompt", where)),
        feedback.answer(required_text(row, "response", where)),
        label=feedback.read_flag(row, "is_safe", where),
    )
    harms = feedback.from_json(row.get("category"))
    if isinstance(harms, dict):
        harms = [name for name, does_harm in harms.items() if does_harm]
    return feedback.carrying(binary, None, {"harms": harms})


FORMAT = Format(recognises=recognises, convert=convert, reads={"binary": COLUMNS | {"category"}})
