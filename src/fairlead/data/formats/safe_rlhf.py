"""PKU-SafeRLHF: two answers, the number of the more helpful one and the number of the safer one.

The more helpful answer is chosen.  The aspect `safe` says whether it is also the safer one, so that a reward
model can learn both.
"""

from fairlead.data.formats import feedback
from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.parsing import required_text
from fairlead.data.row_problem import RowLocation

ANSWERS = frozenset({"prompt", "response_0", "response_1"})


def recognises(row: Row) -> bool:
    return row.keys() >= ANSWERS | {"better_response_id"}


def convert(row: Row, where: RowLocation) -> Conversion:
    prompt = feedback.user_turn(required_text(row, "prompt", where))
    answers = [feedback.answer(required_text(row, f"response_{side}", where)) for side in (0, 1)]
    best = feedback.read_side(row, "better_response_id", where)
    aspects = {"helpful": 1.0}
    if row.get("safer_response_id") is not None:
        aspects["safe"] = 1.0 if feedback.read_side(row, "safer_response_id", where) == best else -1.0
    comparison = feedback.compare(prompt, answers[best], answers[1 - best], where, aspects=aspects)
    safety = [row.get(f"is_response_{side}_safe") for side in (best, 1 - best)]
    models = [row.get(f"response_{side}_source") for side in (best, 1 - best)]
    return feedback.carrying(
        comparison,
        None,
        {
            "is_safe": None if safety == [None, None] else safety,
            "models": None if models == [None, None] else models,
        },
    )


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        "comparison": ANSWERS
        | {"better_response_id", "safer_response_id"}
        | {f"{name}_{side}" for name in ("response",) for side in (0, 1)}
        | {f"is_response_{side}_safe" for side in (0, 1)}
        | {f"response_{side}_source" for side in (0, 1)}
    },
    metadata=frozenset(
        f"response_{side}_{name}" for side in (0, 1) for name in ("severity_level", "harm_category", "sha256")
    ),
)
