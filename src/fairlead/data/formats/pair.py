"""Turn two conversations that differ only in their last answers into a comparison."""

from collections.abc import Mapping
from typing import Any

from fairlead.data.formats.turns import as_number
from fairlead.data.parsing import build_comparison, check_turns
from fairlead.data.records import Comparison, Messages
from fairlead.data.row_problem import RowLocation, reject_row

# Columns with the scores of the two answers, which travel in the metadata.
SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_rating", "rejected_rating"),
    ("chosen_reward", "rejected_reward"),
    ("reward_chosen", "reward_rejected"),
    ("chosen_avg_rating", "rejected_avg_rating"),
)
# Beside a pair: the answers that it was chosen from, and how they were judged.
PAIR_NOTES = frozenset(
    """responses all_generated_responses all_rm_scores rewards_armorm gen_response_configs summaries choice
    worker info extra num_turns""".split()
)
SCORE_COLUMNS = frozenset(column for columns in SCORES for column in columns)


def check_scores(row: Mapping[str, Any], where: RowLocation) -> None:
    """Refuse a row whose scores say that the rejected answer is the better one."""
    for chosen, rejected in SCORES:
        scores = as_number(row.get(chosen)), as_number(row.get(rejected))
        better, worse = scores
        if isinstance(better, int | float) and isinstance(worse, int | float) and better < worse:
            remedy = f"Drop the row with --drop, or leave the scores out with --ignore {chosen},{rejected}."
            reject_row(where, rejected, worse, f"is higher than {chosen}, which is {better}", remedy)


def compare_conversations(
    chosen: Messages, rejected: Messages, row: Mapping[str, Any], where: RowLocation
) -> Comparison:
    """The shared turns become the prompt; raises BadRow if the conversations differ before their last
    answers.
    """
    check_scores(row, where)
    check_turns(chosen, "chosen", where, first="user", last="assistant")
    check_turns(rejected, "rejected", where, first="user", last="assistant")
    shared = chosen[:-1]
    if rejected[:-1] != shared:
        turns = zip(chosen, rejected, strict=False)  # one conversation may be a prefix of the other
        first_difference = next(
            (index for index, (left, right) in enumerate(turns) if left != right),
            min(len(chosen), len(rejected)) - 1,
        )
        why = f"differs from chosen at turn {first_difference + 1}, before the last answer"
        reject_row(
            where,
            "rejected",
            rejected[first_difference].content,
            why,
            "Only the last answers may differ; drop the row with --drop.",
        )
    return build_comparison(shared, chosen[-1:], rejected[-1:], row, where)
