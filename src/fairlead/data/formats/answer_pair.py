"""Two answers in columns of their own, and which of them is better.

Some names say it (`chosen_response` and `rejected_response`); beside other names a verdict says it
(`output_1`, `output_2` and `preference`).  Numbers count answers from 1, letters from A.  A verdict that
could be read in two ways, such as 0, is refused.

    {"instruction": …, "output_1": …, "output_2": …, "preference": 2}                   AlpacaFarm, AlpacaEval
    {"question": …, "response_j": …, "response_k": …}                                   Stack Exchange, paired
    {"context": […], "original_response": …, "edited_response": …}                      HelpSteer3, edits
    {"prompt": …, "initial_reason_steps": …, "chosen": …, "rejected": …}                Step-DPO
"""

from fairlead.core.plural import counted
from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import chat_turns, feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.formats.pair import SCORE_COLUMNS, check_scores
from fairlead.data.formats.turns import system_of
from fairlead.data.parsing import check_turns, required_column, required_text
from fairlead.data.records import Message, Messages
from fairlead.data.row_problem import RowLocation, reject_row

QUESTIONS = ("prompt", "instruction", "question", "context", "input")
# The better answer and the worse one.
DIRECTED = (
    ("chosen_response", "rejected_response"),
    ("good_edited_response", "bad_edited_response"),
    ("edited_response", "original_response"),
    ("response_j", "response_k"),
    ("chosen", "rejected"),  # only with the first steps of both answers
)
UNDIRECTED = (
    ("output_1", "output_2"),
    ("answer_1", "answer_2"),
    ("output_a", "output_b"),
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
)
VERDICTS = ("preference", "preferred", "label", "winner", "better")
FIRST_STEPS = "initial_reason_steps"
TIES = ("tie", "equal", "both", "1.5")


def recognises(row: Row) -> bool:
    if not any(not is_blank(row.get(column)) for column in QUESTIONS):
        return False
    pair = _pair(row)
    if pair in DIRECTED:
        return pair != ("chosen", "rejected") or isinstance(row.get(FIRST_STEPS), str)
    return pair is not None and any(not is_blank(row.get(column)) for column in VERDICTS)


def convert(row: Row, where: RowLocation) -> Conversion:
    pair = _pair(row)
    if pair is None:
        remedy = "Name them with --map chosen=COLUMN,rejected=COLUMN."
        reject_row(where, "", None, "has no two answers", remedy)
    if pair in UNDIRECTED:
        better = _better(row, pair, where)
        if better is None:
            return LeftOut("ties")
        pair = (pair[better], pair[1 - better])
    check_scores(row, where)
    before = ""
    if pair == ("chosen", "rejected") and not is_blank(row.get(FIRST_STEPS)):
        before = required_text(row, FIRST_STEPS, where)
    chosen, rejected = (_answer(row, column, before, where) for column in pair)
    if feedback.same_text(chosen, rejected):
        return LeftOut("pairs of equal answers")
    rater = row.get("annotator")
    return feedback.compare(
        _prompt(row, where), chosen, rejected, where, rater=None if rater is None else str(rater)
    )


def _pair(row: Row) -> tuple[str, str] | None:
    pairs = (*DIRECTED, *UNDIRECTED)
    return next((pair for pair in pairs if all(not is_blank(row.get(name)) for name in pair)), None)


def _better(row: Row, pair: tuple[str, str], where: RowLocation) -> int | None:
    """The index of the better answer; None for a tie."""
    columns = [column for column in VERDICTS if not is_blank(row.get(column))]
    if len(columns) != 1:
        remedy = f"Keep one of them with --ignore; verdicts are {', '.join(VERDICTS)}."
        reject_row(where, "", None, f"has {counted(len(columns), 'verdict')} on its two answers", remedy)
    (column,) = columns
    value = row[column]
    number = None if isinstance(value, bool) else feedback.as_number(value)
    counts_from_1 = pair[0].endswith("1")
    word = str(value).strip().lower()
    if word in TIES and (number is None or counts_from_1):
        return None
    if number is not None and counts_from_1 and 1 <= number <= 2:
        return int(number > 1.5)  # AlpacaEval's judges write numbers between 1 and 2
    for index, name in enumerate(pair):
        if number is None and word in (name, name[-1], f"model_{name[-1]}"):
            return index
    remedy = f"Write {pair[0][-1].upper()} or {pair[1][-1].upper()} for the better answer, or tie."
    reject_row(where, column, value, f"names neither {pair[0]} nor {pair[1]}", remedy)


def _answer(row: Row, column: str, before: str, where: RowLocation) -> Messages:
    if before:
        return feedback.answer(f"{before.rstrip()}\n{required_text(row, column, where).lstrip()}")
    return chat_turns.read_answer(required_column(row, column, where), column, where)


def _prompt(row: Row, where: RowLocation) -> Messages:
    column = next((name for name in QUESTIONS if not is_blank(row.get(name))), QUESTIONS[0])
    prompt = chat_turns.read_conversation(required_column(row, column, where), column, where)
    if column == "instruction" and not is_blank(row.get("input")):  # as in Alpaca
        prompt = feedback.user_turn(f"{row['instruction']}\n\n{required_text(row, 'input', where)}")
    system = system_of(row, where)
    if isinstance(system, str) and prompt[0].role != "system":
        prompt = (Message("system", system), *prompt)
    check_turns(prompt, column, where, first="user", last="user")
    return prompt


ANSWERS = frozenset(name for pair in (*DIRECTED, *UNDIRECTED) for name in pair)
FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        "comparison": ANSWERS | {*QUESTIONS, *VERDICTS, "annotator", "system", "system_prompt", FIRST_STEPS}
    },
    metadata=SCORE_COLUMNS
    | {
        "answer",  # of the question, in Step-DPO
        "full_chosen",
        "full_rejected",
        "chosen_avg_rating",
        "rejected_avg_rating",
        "change_summary",
        "feedback",
        "raw_completion",
    },
)
