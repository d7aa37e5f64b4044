"""distilabel's outputs: `generations` with `ratings`, pairs with ratings, and single generations.

    {"instruction": …, "generations": ["…", "…"], "ratings": [4, 2], "generation_models": […]}
    {"prompt": …, "chosen": …, "rejected": …, "chosen_rating": 4, "rejected_rating": 2}
    {"instruction": …, "generation": …, "model_name": …, "distilabel_metadata": …}

Higher ratings are better.  A generation without a rating is left out of the ranking and counted.
"""

from typing import Any

from fairlead.core.plural import counted
from fairlead.data.column_meaning import is_blank
from fairlead.data.formats import chat_turns, feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.formats.pair import compare_conversations
from fairlead.data.parsing import check_turns, required_column
from fairlead.data.records import Comparison, Demonstration, Message, Messages, Ranking
from fairlead.data.row_problem import RowLocation, reject_row

PROMPTS = ("instruction", "prompt", "question", "input", "conversation", "messages")
SYSTEMS = ("system_prompt", "system")
RATINGS = ("ratings", "rating", "scores")
PAIR_RATINGS = frozenset({"chosen_rating", "rating_chosen", "chosen-rating"})
TRACES = ("generation_models", "generation_model", "distilabel_metadata", "model_names")


def recognises(row: Row) -> bool:
    if row.keys() >= {"chosen", "rejected"} and row.keys() & PAIR_RATINGS:
        return True  # the answers may be whole conversations, with no prompt beside them
    if not any(name in row for name in PROMPTS):
        return False
    if "generations" in row:
        return bool(row.keys() & {*RATINGS, *TRACES, "chosen"})
    return "generation" in row and bool(row.keys() & {"model_name", *TRACES})


def convert(row: Row, where: RowLocation) -> Conversion:
    if not is_blank(row.get("chosen")) or not is_blank(row.get("rejected")):
        return _comparison(row, where)
    return _ranking(row, where) if "generations" in row else _demonstration(row, where)


def convert_to_ranking(row: Row, where: RowLocation) -> Conversion:
    return _ranking(row, where)


def _comparison(row: Row, where: RowLocation) -> Conversion:
    if row.get("status") == "tie":
        return LeftOut("ties of the judge")
    ratings = {}
    for side in ("chosen", "rejected"):
        names = (f"{side}_rating", f"rating_{side}", f"{side}_score", f"{side}-rating")
        ratings[side] = next(
            (feedback.as_number(row[name]) for name in names if not is_blank(row.get(name))), None
        )
    better, worse = ratings["chosen"], ratings["rejected"]
    if better is not None and worse is not None and better < worse:
        remedy = "Check which column is right, or drop the row with --drop."
        reject_row(where, "chosen", better, "has a lower rating than rejected", remedy)
    sides = {
        side: chat_turns.read_answer_or_conversation(required_column(row, side, where), side, where)
        for side in ("chosen", "rejected")
    }
    if feedback.same_text(sides["chosen"], sides["rejected"]):
        return LeftOut("pairs of equal answers")
    comparison: Comparison
    if sides["chosen"][0].role != "assistant":
        comparison = compare_conversations(sides["chosen"], sides["rejected"], {}, where)
    else:
        comparison = feedback.compare(_prompt(row, where), sides["chosen"], sides["rejected"], where)
    if better is not None and better == worse:
        return LeftOut("pairs of answers with equal ratings")
    return feedback.carrying(comparison, row.get("id"), {"ratings": [better, worse]})


def _ranking(row: Row, where: RowLocation) -> Conversion:
    generations = feedback.read_list(row, "generations", where)
    column = next((name for name in RATINGS if not is_blank(row.get(name))), None)
    if column is None:
        return LeftOut("prompts whose generations have no ratings")
    ratings = feedback.read_list(row, column, where)
    if len(ratings) != len(generations):
        why = f"has {counted(len(ratings), 'rating')} for {counted(len(generations), 'generation')}"
        reject_row(where, column, ratings, why, "Drop the row with --drop.")
    answers: list[Messages] = []
    numbers: list[float] = []
    left_out: list[Any] = []
    for index, (generation, rating) in enumerate(zip(generations, ratings, strict=True)):
        if is_blank(generation) or is_blank(rating):
            left_out.append(LeftOut("generations without a text or a rating"))
            continue
        number = feedback.as_number(rating)
        if number is None:
            reject_row(where, f"{column}[{index}]", rating, "is not a number", "Drop the row with --drop.")
        answers.append(chat_turns.read_answer(generation, f"generations[{index}]", where))
        numbers.append(number)
    if len(answers) < 2:
        return [*left_out, LeftOut("prompts with fewer than two rated generations")]
    ranks = feedback.ranks_of_scores(numbers)
    if len(set(ranks)) == 1:
        return [*left_out, LeftOut("prompts whose generations have equal ratings")]
    ranking = Ranking(_prompt(row, where), tuple(answers), ranks)
    return [*left_out, feedback.carrying(ranking, row.get("id"), {"ratings": numbers})]


def _demonstration(row: Row, where: RowLocation) -> Conversion:
    if is_blank(row.get("generation")):
        return LeftOut("prompts without a generation")
    answer = chat_turns.read_answer(row["generation"], "generation", where)
    return feedback.carrying(Demonstration(_prompt(row, where), answer), row.get("id"))


def _prompt(row: Row, where: RowLocation) -> Messages:
    column = next((name for name in PROMPTS if not is_blank(row.get(name))), PROMPTS[0])
    prompt = chat_turns.read_conversation(required_column(row, column, where), column, where)
    system = next((row[name] for name in SYSTEMS if not is_blank(row.get(name))), None)
    if isinstance(system, str) and prompt[0].role != "system":
        prompt = (Message("system", system), *prompt)
    check_turns(prompt, column, where, first="user", last="user")
    return prompt


ASKED = frozenset(PROMPTS) | frozenset(SYSTEMS)

FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        "comparison": ASKED | {"chosen", "rejected", "status"},
        "ranking": ASKED | {"generations", *RATINGS},
        "demonstration": ASKED | {"generation"},
    },
    # Beside a pair, the generations that it was chosen from and their ratings are notes.
    metadata=frozenset(
        """generations ratings rating scores chosen-rating rejected-rating rationale rationales
        chosen_rating rejected_rating rating_chosen rating_rejected chosen_score rejected_score
        original_chosen original_rejected raw_labelling_response labelling_prompt labelling_model
        raw_generation_responses new_generations original_response generation_prompt order in_gsm8k_train
        types rationales_for_ratings generation_models generation_model""".split()
    ),
    readings={"ranking": convert_to_ranking},
)
