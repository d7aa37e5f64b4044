"""What the name of a column says about its contents, for columns that a format does not read.

An import may not lose what a row says: a label that is not read turns a bad answer into one to imitate, and a
system message that is not read changes the question.  Columns are judged by the words of their names.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

Meaning = Literal["question", "answer"]

# Words of columns that belong to the question: without them it is another question.
TEXTS = """article articles background context contexts ctx document documents evidence knowledge
    paragraph paragraphs passage passages persona profile scenario schema""".split()
QUESTION_WORDS = frozenset(
    """audio conversation conversations developer dialog dialogue functions history image images input inputs
    instruction instructions messages prompt query question system tool tools turn turns""".split()
    + TEXTS
    + "video videos".split()
)
# Words of columns that hold an answer.
ANSWERS = """answer answers choice choices chosen completion completions corrected edit edited generation
    generations output outputs reasoning reference references rejected replies reply response
    responses solution solutions steps target""".split()
# Words of columns that judge an answer.
JUDGEMENTS = """accepted annotation annotations annotator approved feedback grade kto label labels mask
    preference preferences preferred rank ranking ranks rating ratings reject reward rewards
    score scores verdict weight""".split()
LIKES = """bad best better desirable dislike disliked dislikes downvote downvoted downvotes good like
    liked likes loser margin missing points stars thumb thumbs thumbsdown thumbsup undesirable upvote
    upvoted upvotes vote votes win winner worse worst""".split()
QUALITIES = """accuracy accurate coherence complexity correct correctness factuality fluency harmless
    harmlessness helpful helpfulness honesty judged judgement judgment quality relevance safe safety targets
    thinking thought thoughts train trainable training truthfulness verbosity weights""".split()
FAULTS = """flag flagged hallucinated hallucination hallucinations harmful inaccurate incorrect offensive
    toxic toxicity unhelpful unsafe wrong""".split()
OUTCOMES = """accept advantage advantages decision evaluation evaluations fail failed gold
    invalid ok okay pass passed polarity right satisfaction satisfied sentiment success successful useful
    valid verified""".split()
# Words of judgements that say the opposite of "good".
NEGATIVE_WORDS = frozenset(
    """bad dislike disliked dislikes down downvote downvoted downvotes error fail failed flag flagged
    hallucinated hallucination hallucinations harmful inaccurate incorrect invalid offensive reject rejected
    thumbsdown toxic undesirable unhelpful unsafe worse worst wrong""".split()
)
JUDGEMENT_WORDS = frozenset(JUDGEMENTS + LIKES + QUALITIES + FAULTS + OUTCOMES)
ANSWER_WORDS = JUDGEMENT_WORDS | {*ANSWERS}
# A last word that makes the column a note about something: `answer_model`, `prompt_id`, `response_length`.
NOTE_WORDS = frozenset(
    """at author category count created dataset date difficulty digest domain format generator hash
    id idx ids index indices lang language len length level license links""".split()
    + """meta metadata model models name names num number origin sha source sources split subject
    subset tag tags task template time timestamp title tokens topic type types""".split()
    + "src uid url uuid version year".split()
)
# Last words under which a number is the judgement itself rather than a note about it.
LEVELS = frozenset("id idx index level type".split())


def is_note(column: str, value: object = None) -> bool:
    """Whether the name is that of a harmless note, such as an id, a source or a length."""
    words = _words(column)
    if not words or "kto" in words:
        return False
    if words[-1] in ("turn", "turns") and type(value) is int:
        return True  # the number of turns
    if (
        {"label", "rating", "grade"} & {*words[:-1]}
        and words[-1] in LEVELS
        and isinstance(value, int | float)
    ):
        return False  # label_id = 0 is the label itself
    if isinstance(value, dict) and not (ANSWER_WORDS | QUESTION_WORDS).isdisjoint(words):
        return False  # reward_model = {"ground_truth": "4"} is more than the name of a model
    return words[-1] in NOTE_WORDS or words[0] in ("num", "n", "unnamed") or words == ["key"]


def meaning_of(column: str, value: object = None) -> Meaning | None:
    """What the column probably holds; None if its name does not say."""
    if is_note(column, value):
        return None
    words = _words(column)
    if not ANSWER_WORDS.isdisjoint(words):  # "response_to_the_question" and "system_response" are answers
        return "answer"
    return "question" if not QUESTION_WORDS.isdisjoint(words) else None


def is_judgement(column: str) -> bool:
    """Whether the name says that the column judges an answer, rather than holds one."""
    return not JUDGEMENT_WORDS.isdisjoint(_words(column))


def is_negative(column: str) -> bool:
    """Whether true or a high number under this name says that an answer is bad."""
    return not NEGATIVE_WORDS.isdisjoint(_words(column))


def is_blank(value: object) -> bool:
    """Whether a value says nothing: null, or an empty string, list or object."""
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})


def without_blanks(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in row.items() if not is_blank(value)}


def _words(column: str) -> list[str]:
    """The words of a name in snake_case, kebab-case or camelCase, without numbers."""
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
