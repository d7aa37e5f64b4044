"""LIMA: `conversations`, a list of texts in which the user and the assistant alternate."""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import parse_demonstration, parse_prompt
from fairlead.data.row_problem import RowLocation, reject_row


def recognises(row: Row) -> bool:
    texts = feedback.from_json(row.get("conversations"))
    return isinstance(texts, list) and bool(texts) and all(isinstance(text, str) for text in texts)


def convert(row: Row, where: RowLocation) -> Conversion:
    messages = _messages(row, where)
    if len(messages) % 2:
        return LeftOut("questions without an answer; --kind prompt takes them")
    return parse_demonstration({"messages": messages}, where)


def convert_to_prompt(row: Row, where: RowLocation) -> Conversion:
    messages = _messages(row, where)
    return parse_prompt({"prompt": messages[: len(messages) - 1 + len(messages) % 2]}, where)


def _messages(row: Row, where: RowLocation) -> list[dict[str, str]]:
    texts = feedback.read_list(row, "conversations", where)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            reject_row(where, f"conversations[{index}]", text, "is not a string", "Write text in quotes.")
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]


COLUMNS = frozenset({"conversations"})

FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"demonstration": COLUMNS, "prompt": COLUMNS},
    readings={"prompt": convert_to_prompt},
)
