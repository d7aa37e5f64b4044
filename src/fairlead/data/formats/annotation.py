"""What annotators said about the answers of a task, whichever tool recorded it.

A task has fields (a prompt and answers) and questions (a choice, an order, marks, a label, a text).  Fields
are recognised by their names.  A name or a value that is not understood is refused with the names that are,
so that no judgement is turned round or lost.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fairlead.core.plural import counted
from fairlead.data.column_meaning import is_blank, meaning_of
from fairlead.data.formats import chat_turns, feedback
from fairlead.data.formats.feedback import Outcomes
from fairlead.data.formats.format import LeftOut
from fairlead.data.parsing import check_turns
from fairlead.data.records import Binary, Demonstration, Message, Messages, Ranking, Rating, Record
from fairlead.data.row_problem import RowLocation, reject_row

PROMPTS = tuple(
    """messages conversation conversations chat dialogue dialog prompt instruction question query input
    request user_message user_prompt""".split()
)
SYSTEMS = ("system", "system_prompt", "system_message")
ANSWER = re.compile(
    r"(?:(?:model|assistant|llm|bot|generated)[_ -]?)?"
    r"(?:response|answer|completion|output|generation|reply|candidate|option|text|result|continuation)"
    r"[_ -]?(\d+|[a-f]|left|right|one|two|first|second)?"
)
SIDE_FIRST = re.compile(
    r"(?:model[_ -]?)?([a-f]|\d+|left|right)[_ -](?:response|answer|completion|output|text)"
)
ANSWER_LISTS = (
    "responses",
    "answers",
    "completions",
    "generations",
    "outputs",
    "candidates",
    "items",
    "options",
)
TEXT_KEYS = ("text", "content", "response", "answer", "completion", "generation", "output", "body", "title")
POSITIONS = {"left": 0, "right": 1, "one": 0, "two": 1, "first": 0, "second": 1}
PLACES = {"left": 0, "right": 1, "first": 0, "second": 1}
# Words that may stand beside the name of an answer without changing what is said about it.
FILLERS = frozenset(
    """is the better best prefer prefers preferred preference winner wins win slightly much significantly
    clearly strongly far i than other response answer completion output generation reply candidate option
    text model assistant result""".split()
)
TIES = {
    "tie": None, "ties": None, "draw": None, "equal": None, "equally": None, "same": None, "neither": None,
    "both": None, "no preference": None, "about the same": None, "equally good": "good", "both good": "good",
    "both are good": "good", "equally bad": "bad", "both bad": "bad", "both are bad": "bad",
}  # fmt: skip
EDIT_WORDS = frozenset(
    """edit edited edits correct corrected correction corrections improve improved improvement rewrite
    rewritten revised revision better ideal gold expected rephrased fixed""".split()
)
COMMENT_WORDS = frozenset(
    """comment comments rationale reason reasons reasoning explanation explain why note notes critique
    justify justification remarks details""".split()
)
LOWEST_MARK, HIGHEST_MARK = 1, 5

QuestionKind = Literal["choice", "order", "mark", "label", "text"]


@dataclass(frozen=True)
class Task:
    prompt: Messages
    answers: Mapping[str, Messages]  # name of the field -> answer; in the order of their numbers or letters
    notes: Mapping[str, Any] = field(default_factory=dict)  # other fields, which travel


@dataclass(frozen=True)
class Judgement:
    """What one annotator answered to one question."""

    question: str
    kind: QuestionKind
    value: Any
    names: tuple[str, ...] = ()  # the answers that it is about, in the order shown; empty for all of them


def read_task(fields: Mapping[str, Any], where: RowLocation, place: str) -> Task:
    """The prompt and the answers among the fields; `place` is the column of the fields, for messages."""
    present = {name: feedback.from_json(value) for name, value in fields.items() if not is_blank(value)}
    prompt_name = next((name for name in PROMPTS if name in present), None)
    if prompt_name is None:
        remedy = f"Name the field of the question {' or '.join(PROMPTS[:-2])}."
        reject_row(where, place, list(fields), "have no field with a question", remedy)
    question = present.pop(prompt_name)
    if prompt_name == "instruction" and isinstance(question, str) and isinstance(present.get("input"), str):
        question = f"{question}\n\n{present.pop('input')}"  # as in Alpaca's rows
    prompt = chat_turns.read_conversation(question, f"{place}.{prompt_name}", where)
    for name in [name for name in SYSTEMS if name in present]:
        system = present.pop(name)
        if not isinstance(system, str) or prompt[0].role == "system":
            reject_row(where, f"{place}.{name}", system, "is not the only system text", "Remove it.")
        prompt = (Message("system", system), *prompt)
    answers = _answers(present, where, place)
    if not answers and prompt[-1].role == "assistant":  # a conversation whose last answer is judged
        prompt, answers = prompt[:-1], {"the last answer": prompt[-1:]}
    check_turns(prompt, f"{place}.{prompt_name}", where, first="user", last="user")
    for name, value in present.items():
        if meaning_of(name, value) is not None:
            remedy = "Call answers response_1, response_2, …; remove the field if it has no meaning here."
            reject_row(where, f"{place}.{name}", value, "is not read, and would be lost", remedy)
    return Task(prompt, answers, present)


def _answers(present: dict[str, Any], where: RowLocation, place: str) -> dict[str, Messages]:
    """The answers among the fields, which are removed from `present`."""
    outcomes: dict[str, Messages] = {}
    for name in [name for name in ANSWER_LISTS if isinstance(present.get(name), list)]:
        for index, item in enumerate(present.pop(name)):
            label = str(item.get("id", index)) if isinstance(item, dict) else str(index)
            text = item
            if isinstance(item, dict) and not chat_turns.is_turn(item):
                text = next((item[key] for key in TEXT_KEYS if isinstance(item.get(key), str)), item)
            outcomes[label] = chat_turns.read_answer(text, f"{place}.{name}[{index}]", where)
        return outcomes
    names = [name for name in present if is_answer_name(name)]
    for name in sorted(names, key=_position):
        outcomes[name] = chat_turns.read_answer(present.pop(name), f"{place}.{name}", where)
    return outcomes


def is_answer_name(name: str) -> bool:
    return bool(ANSWER.fullmatch(name.lower()) or SIDE_FIRST.fullmatch(name.lower()))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _suffix(name: str) -> str:
    """The number, letter or side in the name of an answer; empty if it has none."""
    match = ANSWER.fullmatch(name.lower()) or SIDE_FIRST.fullmatch(name.lower())
    return (match[1] or "") if match else ""


def _position(name: str) -> tuple[int, str]:
    suffix = _suffix(name)
    return (int(suffix) if suffix.isdecimal() else POSITIONS.get(suffix, 0), suffix)


# ---------------------------------------------------------------- judgements


def records(task: Task, judgements: Sequence[Judgement], rater: str | None, where: RowLocation) -> Outcomes:
    """Every record that the judgements of one annotator give; texts that are comments become metadata."""
    comments = {item.question: item.value for item in judgements if _is_comment(item)}
    about = [item for item in judgements if not _is_comment(item)]
    outcomes: Outcomes = []
    for judgement in about:
        record = _record(task, judgement, rater, where)
        if record is None:
            continue
        if not isinstance(record, LeftOut):
            others = {item.question: item.value for item in about if item is not judgement}
            notes = {**task.notes, **comments, "other_judgements": others}
            if not hasattr(record, "rater"):
                notes["rater"] = rater
            record = feedback.carrying(record, None, notes)
        outcomes.append(record)
    return outcomes


def _record(
    task: Task, judgement: Judgement, rater: str | None, where: RowLocation
) -> Record | LeftOut | None:
    names = judgement.names or tuple(task.answers)
    question, value = judgement.question, judgement.value
    if judgement.kind == "text":
        return _edit(task, judgement, rater, where)
    is_choice = judgement.kind in ("choice", "order", "mark") or len(names) == 2
    if is_choice and feedback.asks_for_the_bad(question):
        remedy = "Name the question after what is good and turn its answers round, or use --drop."
        reject_row(where, question, value, "may ask for what is bad, by its name", remedy)
    if judgement.kind == "order":
        return _order(task, question, value, where)
    if judgement.kind == "mark":
        return _mark(task, judgement, where)
    if len(names) == 2:
        return _choice(task, names, question, value, rater, where)
    if judgement.kind == "choice" or len(names) != 1:
        why = f"is about {counted(len(names), 'answer')}, where a choice needs two"
        remedy = "Call the answers response_1 and response_2."
        reject_row(where, question, value, why, remedy)
    thumb = feedback.thumb_under(question, value)
    if thumb is None and feedback.as_thumb(value) is not None:
        remedy = "Call the question good, helpful, correct or quality, or write good and bad."
        reject_row(where, question, value, "does not say whether the answer is good, under this name", remedy)
    if thumb is None:
        remedy = (
            f"Labels that are understood are {', '.join(sorted(feedback.GOOD_WORDS | feedback.BAD_WORDS))}."
        )
        reject_row(where, question, value, "says neither good nor bad", remedy)
    return Binary(task.prompt, task.answers[names[0]], thumb)


def _choice(
    task: Task, names: Sequence[str], question: str, value: object, rater: str | None, where: RowLocation
) -> Record | LeftOut:
    side = read_choice(value, names, question, where)
    if side is None:
        return LeftOut("ties of the annotators")
    left, right = (task.answers[name] for name in names)
    if feedback.same_text(left, right):
        return LeftOut("pairs of equal answers")
    if isinstance(side, str):
        return feedback.compare(task.prompt, left, right, where, tie=side, rater=rater)
    chosen, rejected = (left, right) if side == 0 else (right, left)
    return feedback.compare(task.prompt, chosen, rejected, where, rater=rater)


def read_choice(value: object, names: Sequence[str], question: str, where: RowLocation) -> int | str | None:
    """The number of the preferred answer, "good" or "bad" for ties that say so, None for other ties."""
    text = " ".join(re.findall(r"[a-z]+|\d+", str(value).lower())) if isinstance(value, str | int) else ""
    if text in TIES:
        return TIES[text]
    exact = [" ".join(re.findall(r"[a-z]+|\d+", name.lower())) for name in names]
    if text in exact:
        return exact.index(text)
    words = [word for word in re.sub(r"\ba (bit|lot)\b", " ", text).split() if word not in FILLERS]
    sides = [_suffix(name) for name in names]
    if len(words) == 1:
        word = words[0]
        if word in sides:
            return sides.index(word)
        if word in PLACES and not any(side in PLACES for side in sides):
            return PLACES[word]
        if word in ("a", "b") and not any(side.isalpha() for side in sides):
            return ("a", "b").index(word)
    remedy = f"Choices that are understood are the names of the answers ({', '.join(names)}) and tie."
    reject_row(where, question, value, "does not name an answer", remedy)


def _order(task: Task, question: str, value: object, where: RowLocation) -> Record | LeftOut:
    """A ranking from names in order, best first, or from names with ranks, of which 1 is the best."""
    items = value if isinstance(value, list) else []
    ranked: list[tuple[str, float]] = []
    for index, item in enumerate(items):
        if isinstance(item, str | int):
            ranked.append((str(item), float(index)))
        elif isinstance(item, dict) and (rank := feedback.as_number(item.get("rank"))) is not None:
            ranked.append((str(item.get("value")), rank))
        else:
            reject_row(
                where, f"{question}[{index}]", item, "is not the name of an answer", "Write its field."
            )
    fields = {_plain(name): name for name in task.answers}
    ranked = [(fields.get(_plain(name), name), rank) for name, rank in ranked]
    unknown = [name for name, _ in ranked if name not in task.answers]
    if unknown or len({name for name, _ in ranked}) != len(ranked):
        remedy = f"Name each of {', '.join(task.answers)} once."
        reject_row(where, question, value, "is not an order of the answers", remedy)
    if len(ranked) < 2:
        return LeftOut("orders of fewer than two answers")
    ranks = feedback.ranks_of_scores([-rank for _, rank in ranked])
    if len(set(ranks)) == 1:
        return LeftOut("ties of the annotators")
    return Ranking(task.prompt, tuple(task.answers[name] for name, _ in ranked), ranks)


def _mark(task: Task, judgement: Judgement, where: RowLocation) -> Record:
    question, value = judgement.question, judgement.value
    names = judgement.names or tuple(name for name in task.answers if name.lower() in question.lower())
    names = names or tuple(task.answers)
    if len(names) != 1:
        remedy = "Name the question after the answer, such as rating_response_1."
        reject_row(
            where,
            question,
            value,
            f"is about {counted(len(names), 'answer')}, where a mark needs one",
            remedy,
        )
    mark = feedback.as_number(value)
    if mark is None or not LOWEST_MARK <= mark <= HIGHEST_MARK:
        remedy = f"Marks go from {LOWEST_MARK} (worst) to {HIGHEST_MARK} (best); rescale others."
        reject_row(where, question, value, "is not a mark", remedy)
    return Rating(
        task.prompt, task.answers[names[0]], score=(mark - LOWEST_MARK) / (HIGHEST_MARK - LOWEST_MARK)
    )


def _edit(task: Task, judgement: Judgement, rater: str | None, where: RowLocation) -> Record | LeftOut | None:
    text, question = judgement.value, judgement.question
    if not isinstance(text, str):
        reject_row(where, question, text, "is not a text", "Write text in quotes.")
    if not text.strip():
        return None
    written = feedback.answer(text)
    if not task.answers:
        return Demonstration(task.prompt, written)
    if EDIT_WORDS.isdisjoint(re.findall(r"[a-z]+", question.lower())):
        remedy = "Call it comment, or corrected_response if it replaces the answer."
        reject_row(where, question, text, "is neither a comment nor an edit, by its name", remedy)
    if len(task.answers) > 1:
        return LeftOut("edits beside several answers")
    original = next(iter(task.answers.values()))
    if feedback.same_text(original, written):
        return LeftOut("edits that change nothing")
    return feedback.compare(task.prompt, written, original, where, rater=rater)


def is_written(question: str) -> bool:
    """Whether the name of a question says that its answer is a text that the annotator wrote."""
    return not (EDIT_WORDS | COMMENT_WORDS).isdisjoint(re.findall(r"[a-z]+", question.lower()))


def _is_comment(judgement: Judgement) -> bool:
    words = re.findall(r"[a-z]+", judgement.question.lower())
    return judgement.kind == "text" and not COMMENT_WORDS.isdisjoint(words)
