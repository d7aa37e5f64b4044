"""Turn two conversations that differ only in their last answers into a comparison."""

from collections.abc import Mapping
from typing import Any

from fairlead.data.parsing import build_comparison, check_turns
from fairlead.data.records import Comparison, Messages
from fairlead.data.row_problem import RowLocation, reject_row


def compare_conversations(
    chosen: Messages, rejected: Messages, row: Mapping[str, Any], where: RowLocation
) -> Comparison:
    """The shared turns become the prompt; raises BadRow if the conversations differ before their last
    answers.
    """
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
