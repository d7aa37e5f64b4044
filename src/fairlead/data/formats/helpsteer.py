"""HelpSteer: answers with scores from 0 to 4, and pairs with a preference from -3 to 3.

The scores become the aspects of a rating.  A negative preference is for the first answer; its size is the
margin, and 0 is a tie.  Earlier turns stand in the prompt after `<extra_id_1>`, or as messages in `context`.
"""

import re

from fairlead.data.column_meaning import is_blank
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.formats.turns import Turn, as_number, read_question, read_turns
from fairlead.data.parsing import parse_row, required_column, required_text
from fairlead.data.row_problem import RowLocation, reject_row

ASPECTS = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
HIGHEST_SCORE = 4
HIGHEST_PREFERENCE = 3
TURN = re.compile(r"<extra_id_1>\s*(User|Assistant)\n?")
ANSWERS = (("response_1", "response_2"), ("response1", "response2"))
PREFERENCES = ("preference_strength", "overall_preference")


def recognises_rating(row: Row) -> bool:
    return (
        isinstance(row.get("prompt"), str)
        and isinstance(row.get("response"), str)
        and all(not is_blank(row.get(aspect)) for aspect in ASPECTS[:2])
    )


def convert_rating(row: Row, where: RowLocation) -> Conversion:
    aspects: dict[str, float] = {}
    for aspect in ASPECTS:
        score = as_number(row.get(aspect))
        if score is None:
            continue
        if not isinstance(score, int | float) or not 0 <= score <= HIGHEST_SCORE:
            remedy = f"Scores of HelpSteer are 0 to {HIGHEST_SCORE}; drop the row with --drop."
            reject_row(where, aspect, score, "is out of range", remedy)
        aspects[aspect] = score / HIGHEST_SCORE
    rating = {
        "prompt": _prompt(row, where),
        "completion": [{"role": "assistant", "content": required_text(row, "response", where)}],
        "aspects": aspects,
    }
    return parse_row("rating", rating, where)


def recognises_pair(row: Row) -> bool:
    return any(column in row for column in PREFERENCES) and any(
        first in row and second in row for first, second in ANSWERS
    )


def convert_pair(row: Row, where: RowLocation) -> Conversion:
    names = next((names for names in ANSWERS if names[0] in row), ANSWERS[0])
    first, second = ([{"role": "assistant", "content": required_text(row, name, where)}] for name in names)
    column = next((column for column in PREFERENCES if column in row), PREFERENCES[0])
    strength = as_number(required_column(row, column, where))
    if (
        isinstance(strength, bool)
        or not isinstance(strength, int | float)
        or abs(strength) > HIGHEST_PREFERENCE
    ):
        remedy = f"A preference is -{HIGHEST_PREFERENCE} (the first answer) to {HIGHEST_PREFERENCE}."
        reject_row(where, column, strength, "is no preference", remedy)
    if strength == 0:
        return LeftOut("ties")
    chosen, rejected = (first, second) if strength < 0 else (second, first)
    pair = {
        "prompt": _prompt(row, where),
        "chosen": chosen,
        "rejected": rejected,
        "margin": abs(strength),
    }
    return parse_row("comparison", pair, where)


def _prompt(row: Row, where: RowLocation) -> list[Turn]:
    if not is_blank(row.get("context")):
        return read_turns(row["context"], "context", where)
    text = required_column(row, "prompt", where)
    if not isinstance(text, str):
        return read_question(text, "prompt", where)
    opening, *parts = TURN.split(required_text(row, "prompt", where))
    turns: list[Turn] = [{"role": "user", "content": opening.strip()}]
    for speaker, content in zip(parts[::2], parts[1::2], strict=True):
        turns.append({"role": speaker.lower(), "content": content.strip()})
    if turns[-1] == {"role": "assistant", "content": ""}:
        turns.pop()  # where the answer begins
    return turns


RATING_FORMAT = Format(
    recognises=recognises_rating,
    convert=convert_rating,
    reads={"rating": frozenset({"prompt", "response", *ASPECTS})},
)
_pair_columns = {name for names in ANSWERS for name in names} | set(PREFERENCES)
PAIR_FORMAT = Format(
    recognises=recognises_pair,
    convert=convert_pair,
    reads={"comparison": frozenset({"prompt", "context", *_pair_columns})},
    metadata=frozenset(
        {
            "preference_statement",
            "preference_elaboration",
            "three_most_similar_preferences",
            "all_preferences_unprocessed",
            "individual_preference",
        }
    ),
)
