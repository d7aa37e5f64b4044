"""Capybara: `conversation`, a list of pairs with the user's `input` and the assistant's `output`."""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import parse_demonstration, required_text
from fairlead.data.row_problem import RowLocation, reject_row


def recognises(row: Row) -> bool:
    pairs = feedback.from_json(row.get("conversation"))
    return (
        isinstance(pairs, list)
        and bool(pairs)
        and isinstance(pairs[0], dict)
        and {"input", "output"} <= pairs[0].keys()
        and not row.keys() & {"chosen", "rejected", "messages", "conversations"}
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    messages = []
    for index, pair in enumerate(feedback.read_list(row, "conversation", where)):
        if not isinstance(pair, dict):
            remedy = 'Write {"input": "…", "output": "…"}.'
            reject_row(where, f"conversation[{index}]", pair, "is not a pair of turns", remedy)
        messages += [
            {"role": "user", "content": required_text(pair, "input", where)},
            {"role": "assistant", "content": required_text(pair, "output", where)},
        ]
    return parse_demonstration({"messages": messages}, where)


FORMAT = Format(recognises=recognises, convert=convert, reads={"demonstration": frozenset({"conversation"})})
