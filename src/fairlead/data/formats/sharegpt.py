"""ShareGPT format: `conversations` or `conversation`, a list of turns with `from` (human, gpt) and `value`.

With `chosen` and `rejected`, the conversation is the prompt of a comparison; with `label` or `kto_tag`, its
last answer is good or bad.
"""

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import chat
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.turns import is_conversation
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = ("conversations", "conversation")


def recognises(row: Row) -> bool:
    return any(is_conversation(row.get(column)) for column in COLUMNS)


def convert(row: Row, where: RowLocation) -> Conversion:
    present = [column for column in COLUMNS if not is_blank(row.get(column))]
    if len(present) > 1:
        remedy = "Leave one of them out with --ignore."
        reject_row(where, "conversation", None, "stands beside conversations", remedy)
    return chat.convert(row, present[0] if present else COLUMNS[0], where)


# Notes in OpenHermes, Magpie and WildChat, whose names sound as if they carried meaning.
NOTES = frozenset(
    "skip_prompt_formatting gen_input_configs input_quality quality_explanation instruct_reward toxic".split()
)

FORMAT = Format(recognises=recognises, convert=convert, reads=chat.reads(*COLUMNS), metadata=NOTES)
