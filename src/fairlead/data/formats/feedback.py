"""Read numbers, flags, thumbs and texts as exports write them, and build records from them.

CSV files hold every value as text, so numbers and flags are read from text too.  A value that is not
understood is refused: no feedback is guessed.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fairlead.data.column_meaning import is_note
from fairlead.data.formats.format import Conversion, Converter, LeftOut, Row
from fairlead.data.parsing import build_comparison, check_turns, required_column
from fairlead.data.records import (
    Binary,
    Comparison,
    Demonstration,
    Message,
    Messages,
    Record,
    RecordKind,
    carried,
    kind_of_record,
)
from fairlead.data.row_problem import RowLocation, reject_row

GOOD_WORDS = frozenset(
    """1 accept accepted approve approved correct good great helpful like liked pass passed positive right
    thumbsup true up upvote upvoted yes 👍""".split()
)
BAD_WORDS = frozenset(
    """-1 0 bad disapprove disapproved dislike disliked down downvote downvoted fail failed false incorrect
    negative no nothelpful poor reject rejected thumbsdown unhelpful wrong 👎""".split()
)

# Values that say good or bad only together with a name: 1 under thumbs_down is a thumbs down.
PLAIN_WORDS = frozenset({"1", "0", "-1", "true", "false", "yes", "no"})
# Words that say other things too, such as a direction or a mood.
UNCLEAR_WORDS = frozenset("right up down like positive negative great helpful".split())
# Words of the names of thumbs.
JUDGING_WORDS = frozenset(
    """acceptable accurate approval approved correct correctness feedback good helpful helpfulness like liked
    quality rating satisfaction satisfied score thumb thumbs up upvote useful vote verdict""".split()
)
UP_WORDS = frozenset("like liked up upvote".split())  # 0 may mean that nobody pressed it
DOWN_WORDS = frozenset(
    """bad complaint disapproval dislike disliked down downvote error flag flagged hallucinated
    hallucination harmful harmfulness inaccurate incorrect irrelevant issue misleading negative not
    offensive poor problem refusal rejected reported spam toxic toxicity unhelpful unsafe useless
    wrong""".split()
)
OTHER_WORDS = frozenset(  # say nothing about the judgement
    """a answer app chat client customer end explicit human is llm message my output response s the this ui
    user users value was""".split()
)

AnyRecord = TypeVar("AnyRecord", bound=Record)


def carrying(record: AnyRecord, id: object = None, metadata: Mapping[str, Any] | None = None) -> AnyRecord:
    """The record with its id in the source and with notes, of which empty ones are left out."""
    kept = {name: value for name, value in (metadata or {}).items() if value not in (None, "", [], {})}
    merged = {**(record.metadata or {}), **kept}
    return replace(record, id=record.id if id in (None, "") else str(id), metadata=merged or None)


def user_turn(text: str) -> Messages:
    return (Message("user", text),)


def answer(text: str) -> Messages:
    return (Message("assistant", text),)


def compare(
    prompt: Messages, chosen: Messages, rejected: Messages, where: RowLocation, **columns: Any
) -> Comparison:
    """A checked comparison; `columns` are optional columns such as `rater` and `aspects`."""
    check_turns(prompt, "prompt", where, first="user", last="user")
    check_turns(chosen, "chosen", where, first="assistant", last="assistant")
    check_turns(rejected, "rejected", where, first="assistant", last="assistant")
    return build_comparison(prompt, chosen, rejected, columns, where)


def same_text(left: Messages, right: Messages) -> bool:
    """Whether two answers differ in white space only, which most chat templates remove."""
    return [turn.content.strip() for turn in left] == [turn.content.strip() for turn in right]


# ---------------------------------------------------------------- values


def read_number(row: Row, column: str, where: RowLocation) -> float:
    """The number in a column, also if it is written as text."""
    value = required_column(row, column, where)
    number = as_number(value)
    if number is None:
        reject_row(where, column, value, "is not a number", "Write a number, or drop the row with --drop.")
    return number


def as_number(value: object) -> float | None:
    """The finite number that the value is or spells; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_flag(row: Row, column: str, where: RowLocation) -> bool:
    """A column that holds true or false, 1 or 0, also as text."""
    value = required_column(row, column, where)
    flag = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(
        str(value).strip().lower()
    )
    if flag is None or not isinstance(value, bool | int | float | str):
        reject_row(where, column, value, "is not true or false", "Write true or false.")
    return flag


def read_side(row: Row, column: str, where: RowLocation, count: int = 2) -> int:
    """A column that holds the number of an answer, counted from 0."""
    value = required_column(row, column, where)
    number = as_number(value)
    if number is None or number not in range(count):
        remedy = f"Write a whole number from 0 to {count - 1}."
        reject_row(where, column, value, "does not name an answer", remedy)
    return int(number)


def as_thumb(value: object) -> bool | None:
    """True for a thumbs up, False for a thumbs down, None for anything else, such as a score of 0.7."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return True if value == 1 else False if value in (0, -1) else None
    if not isinstance(value, str):
        return None
    word = re.sub(r"[\s_-]+(?=\D)", "", value.strip().lower()).replace("️", "")
    word = word.removesuffix(".0")
    return True if word in GOOD_WORDS else False if word in BAD_WORDS else None


def is_verdict(name: str, value: object) -> bool:
    """Whether text judges an answer, whatever its column is called: status = "rejected".

    A note such as a category or a subset may have such a name too, unless the name itself says `label`.
    """
    thumb = as_thumb(value)
    if thumb is None or not isinstance(value, str) or value.strip().lower() in PLAIN_WORDS:
        return False
    if not _words(name).isdisjoint(JUDGING_WORDS | {"label", "grade"}):
        return True
    return not is_note(name) and value.strip().lower() not in UNCLEAR_WORDS


def asks_for_the_bad(name: str) -> bool:
    """Whether the name of a question asks which answer is bad, or how bad it is."""
    return not _words(name).isdisjoint(DOWN_WORDS | {"worse", "worst", "loser", "severity", "risk"})


def is_name_of_thumb(name: str) -> bool:
    """Whether every word of the name is known, and some say that it is about good or bad."""
    words = _words(name)
    return words <= JUDGING_WORDS | DOWN_WORDS | OTHER_WORDS and not words <= OTHER_WORDS


def thumb_under(name: str, value: object) -> bool | None:
    """Whether the answer is good; None where the value and the name of its question do not say."""
    thumb = as_thumb(value)
    if thumb is None:
        return None
    words = _words(name)
    is_plain = not isinstance(value, str) or value.strip().lower().removesuffix(".0") in PLAIN_WORDS
    if not words.isdisjoint(DOWN_WORDS):
        # "harmful: no" does not say that the answer is good, and "harmful: good" says nothing clear.
        return False if is_plain == thumb else None
    if is_plain and (words.isdisjoint(JUDGING_WORDS) or (not thumb and not words.isdisjoint(UP_WORDS))):
        return None
    return thumb


def _words(name: str) -> set[str]:
    """The words of a name in snake_case, kebab-case or camelCase."""
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def from_json(value: Any) -> Any:
    """The value that a text spells as a JSON object or list; otherwise the value itself."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def read_list(row: Row, column: str, where: RowLocation) -> list[Any]:
    """The list in a column, also as JSON text."""
    value = from_json(required_column(row, column, where))
    if not isinstance(value, list) or not value:
        reject_row(where, column, value, "is not a list", "Write a JSON list with one value per answer.")
    return value


def read_object(row: Row, column: str, where: RowLocation) -> dict[str, Any]:
    """The object in a column, also as JSON text."""
    value = from_json(required_column(row, column, where))
    if not isinstance(value, dict):
        reject_row(where, column, value, "is not an object", "Write a JSON object.")
    return value


# ---------------------------------------------------------------- rankings, and rows with several kinds


def ranks_of_scores(scores: Sequence[float]) -> tuple[int, ...]:
    """Ranks from 1 for the highest score; equal scores have equal ranks."""
    order = sorted(set(scores), reverse=True)
    return tuple(order.index(score) + 1 for score in scores)


Outcomes = list[Record | LeftOut]


def first_kind(outcomes: Outcomes, order: Sequence[RecordKind]) -> Outcomes:
    """Of the records of a row, those of the first kind in `order` that it has; see `of_kind`."""
    kinds = {kind_of_record(record) for record in outcomes if not isinstance(record, LeftOut)}
    return of_kind(outcomes, next((kind for kind in order if kind in kinds), order[0]))


def of_kind(outcomes: Outcomes, kind: RecordKind) -> Outcomes:
    """The records of this kind; those of other kinds are left out, with the option that takes them."""
    return [
        record
        if isinstance(record, LeftOut) or kind_of_record(record) == kind
        else LeftOut(f"judgements of another kind, which --kind {kind_of_record(record)} takes")
        for record in outcomes
    ]


def readings(
    read: Callable[[Row, RowLocation], Outcomes], kinds: Iterable[RecordKind]
) -> dict[RecordKind, Converter]:
    """What `--kind` makes of the outcomes that `read` takes from a row, for each of these kinds."""

    def reading(kind: RecordKind) -> Converter:
        def convert(row: Row, where: RowLocation) -> Conversion:
            outcomes = read(row, where)
            return to_imitate(outcomes) if kind == "demonstration" else of_kind(outcomes, kind)

        return convert

    return {kind: reading(kind) for kind in kinds}


def to_imitate(outcomes: Outcomes) -> Outcomes:
    """Answers to imitate: those with a thumbs up and those that beat another.  Each is taken once."""
    taken: set[tuple[Messages, Messages]] = set()
    imitated: Outcomes = []
    for record in outcomes:
        if isinstance(record, LeftOut | Demonstration):
            imitated.append(record)
        elif isinstance(record, Binary) and not record.label:
            imitated.append(LeftOut("answers with a thumbs down"))
        elif isinstance(record, Binary) or (isinstance(record, Comparison) and record.tie is None):
            good = record.completion if isinstance(record, Binary) else record.chosen
            if (record.prompt, good) not in taken:
                taken.add((record.prompt, good))
                imitated.append(Demonstration(record.prompt, good, **carried(record)))
        else:
            imitated.append(LeftOut("judgements that do not say which answer to imitate"))
    return imitated
