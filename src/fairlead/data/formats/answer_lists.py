"""RewardBench 2: a prompt, a list of right answers in `chosen` and a list of wrong ones in `rejected`.

Each row becomes a ranking: right answers have rank 1, wrong ones rank 2.
"""

from fairlead.data.formats import chat_turns, feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import check_turns, required_column
from fairlead.data.records import Ranking
from fairlead.data.row_problem import RowLocation

COLUMNS = frozenset({"prompt", "chosen", "rejected"})
COUNTS = frozenset({"num_correct", "num_incorrect", "total_completions"})


def recognises(row: Row) -> bool:
    return row.keys() >= COLUMNS and all(_is_text_list(row[column]) for column in ("chosen", "rejected"))


def convert(row: Row, where: RowLocation) -> Conversion:
    prompt = chat_turns.read_conversation(required_column(row, "prompt", where), "prompt", where)
    check_turns(prompt, "prompt", where, first="user", last="user")
    answers = []
    ranks = []
    for column, rank in (("chosen", 1), ("rejected", 2)):
        texts = feedback.read_list(row, column, where)
        answers += [
            chat_turns.read_answer(text, f"{column}[{index}]", where) for index, text in enumerate(texts)
        ]
        ranks += [rank] * len(texts)
    if len(set(ranks)) < 2:
        return LeftOut("prompts whose answers are all right or all wrong")
    return Ranking(prompt, tuple(answers), tuple(ranks))


def _is_text_list(value: object) -> bool:
    texts = feedback.from_json(value)
    return isinstance(texts, list) and bool(texts) and all(isinstance(text, str) for text in texts)


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"ranking": COLUMNS},
    metadata=COUNTS | {"additional_metadata"},
)
