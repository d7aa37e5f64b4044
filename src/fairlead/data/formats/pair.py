"""Two whole conversations that are the same up to their last answers, as one comparison."""

from collections.abc import Mapping
from typing import Any

from fairlead.data.parsing import build_comparison, check_turns
from fairlead.data.records import Comparison, Messages
from fairlead.data.row_problem import RowLocation, reject_row


def compare_conversations(
    chosen: Messages, rejected: Messages, row: Mapping[str, Any], where: RowLocation
) -> Comparison:
    """The shared turns become the prompt; conversations that part before their last answers have no such prompt."""
    check_turns(chosen, "chosen", where, first="user", last="assistant")
    check_turns(rejected, "rejected", where, first="user", last="assistant")
    shared = chosen[:-1]
    if rejected[:-1] != shared:
        turns = zip(chosen, rejected, strict=False)  # the shorter may be the beginning of the longer
        parting = next(
            (index for index, (one, other) in enumerate(turns) if one != other),
            min(len(chosen), len(rejected)) - 1,
        )
        why = f"parts from chosen at turn {parting + 1}, before the last answer"
        reject_row(
            where,
            "rejected",
            rejected[parting].content,
            why,
            "Only the last answers may differ; drop the row with --drop.",
        )
    return build_comparison(shared, chosen[-1:], rejected[-1:], row, where)
