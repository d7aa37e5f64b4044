"""OpenAI chat format: `messages`; or complete conversations in `chosen` and `rejected`; or preference rows.

Text parts of a message are joined, and the role `developer` is read as `system`.  Images are refused, because
ignoring them would change what is trained.
"""

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import chat
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.pair import PAIR_NOTES, SCORE_COLUMNS, compare_conversations
from fairlead.data.formats.turns import is_conversation, read_answer, read_turns, system_of, with_system
from fairlead.data.parsing import parse_row, read_messages, required_column
from fairlead.data.records import COLUMNS_BY_KIND, Messages
from fairlead.data.row_problem import RowLocation, reject_row

PREFERENCE = ("preferred_output", "non_preferred_output")


def recognises(row: Row) -> bool:
    if is_conversation(row.get("messages")) and not _is_pair(row):
        return True
    return _is_pair(row) and not isinstance(row.get("prompt"), list)


def convert(row: Row, where: RowLocation) -> Conversion:
    if not (is_conversation(row.get("chosen")) or is_conversation(row.get("rejected"))):
        return chat.convert(row, "messages", where)
    chosen, rejected = _conversation(row, "chosen", where), _conversation(row, "rejected", where)
    if not is_blank(row.get("messages")) and _conversation(row, "messages", where) not in (chosen, rejected):
        remedy = "Leave it out with --ignore messages."
        reject_row(where, "messages", None, "is neither the chosen nor the rejected conversation", remedy)
    chat.check_question(row, chosen, where)
    return compare_conversations(chosen, rejected, row, where)


def recognises_preference(row: Row) -> bool:
    return any(not is_blank(row.get(column)) for column in PREFERENCE)


def convert_preference(row: Row, where: RowLocation) -> Conversion:
    request = required_column(row, "input", where)
    if not isinstance(request, dict):
        reject_row(where, "input", request, "is not an object", 'Write {"messages": […]}.')
    prompt = read_turns(request.get("messages"), "input.messages", where)
    chosen, rejected = (
        read_answer(required_column(row, column, where), column, where) for column in PREFERENCE
    )
    pair = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return parse_row("comparison", pair | {"tools": request.get("tools"), "id": row.get("id")}, where)


def _is_pair(row: Row) -> bool:
    return is_conversation(row.get("chosen")) and is_conversation(row.get("rejected"))


def _conversation(row: Row, column: str, where: RowLocation) -> Messages:
    turns = read_turns(required_column(row, column, where), column, where)
    return read_messages(with_system(turns, system_of(row, where), where), column, where)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        **chat.reads("messages"),
        "comparison": COLUMNS_BY_KIND["comparison"] | chat.reads("messages")["comparison"],
    },
    metadata=SCORE_COLUMNS,
    metadata_beside={"comparison": PAIR_NOTES},
)
PREFERENCE_FORMAT = Format(
    recognises=recognises_preference,
    convert=convert_preference,
    reads={"comparison": frozenset({"input", *PREFERENCE})},
)
