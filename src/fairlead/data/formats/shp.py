"""Stanford Human Preferences: a post and two comments, with `labels` 1 where comment A has more votes."""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import required_text
from fairlead.data.row_problem import RowLocation, reject_row

COLUMNS = frozenset({"history", "human_ref_A", "human_ref_B", "labels"})


def recognises(row: Row) -> bool:
    return row.keys() >= COLUMNS


def convert(row: Row, where: RowLocation) -> Conversion:
    prompt = feedback.user_turn(required_text(row, "history", where))
    comments = {side: feedback.answer(required_text(row, f"human_ref_{side}", where)) for side in "AB"}
    best, other = ("A", "B") if feedback.read_flag(row, "labels", where) else ("B", "A")
    votes = {side: feedback.as_number(row.get(f"score_{side}")) for side in "AB"}
    votes_of_best, votes_of_other = votes[best], votes[other]
    if votes_of_best is not None and votes_of_other is not None and votes_of_best < votes_of_other:
        reject_row(
            where,
            "labels",
            row["labels"],
            f"prefers comment {best}, which has fewer votes than {other}",
            "Check which column is right, or drop the row with --drop.",
        )
    comparison = feedback.compare(prompt, comments[best], comments[other], where)
    return feedback.carrying(comparison, row.get("post_id"), {"votes": [votes[best], votes[other]]})


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"comparison": COLUMNS | {"post_id", "score_A", "score_B"}},
    metadata=frozenset({"upvote_ratio", "score_ratio", "seconds_difference"}),
)
