"""Chatbot Arena and MT-bench judgements: two conversations and the winner.

Each conversation is shortened to the `turn` that was judged.  The turns that both share are the prompt; the
rest is the answer, because each model continued from its own turns.  The layout with `prompt`, `response_a`
and `winner_model_a` is read too.  In the arena, "tie" stands beside "both are bad", so it is a good tie.
"""

from fairlead.data.formats import chat_turns, feedback
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import required_column
from fairlead.data.records import Message, Messages
from fairlead.data.row_problem import RowLocation, reject_row

CONVERSATIONS = frozenset({"conversation_a", "conversation_b", "winner"})
FLAGS = frozenset({"winner_model_a", "winner_model_b", "winner_tie"})
RESPONSES = frozenset({"prompt", "response_a", "response_b"})
WINNERS = {
    "model_a": "a",
    "a": "a",
    "model_b": "b",
    "b": "b",
    "tie": "good",
    "tie (bothbad)": "bad",
    "tie(bothbad)": "bad",
    "both_bad": "bad",
    "bothbad": "bad",
    "tie (both bad)": "bad",
}


def recognises(row: Row) -> bool:
    return row.keys() >= CONVERSATIONS or (
        row.keys() >= RESPONSES and (row.keys() >= FLAGS or isinstance(row.get("winner"), str))
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    winner = _winner(row, where)
    sides = _conversations(row, where)
    first, second = ("b", "a") if winner == "b" else ("a", "b")
    num_shared = _num_shared(sides["a"], sides["b"])
    if feedback.same_text(sides["a"], sides["b"]):
        return LeftOut("pairs of equal answers")
    comparison = feedback.compare(
        sides[first][:num_shared],
        sides[first][num_shared:],
        sides[second][num_shared:],
        where,
        rater=None if row.get("judge") is None else str(row["judge"]),
        **({"tie": winner} if winner in ("good", "bad") else {}),
    )
    models = [row.get(f"model_{side}") for side in (first, second)]
    row_id = next((row[column] for column in ("id", "question_id") if row.get(column) is not None), None)
    return feedback.carrying(comparison, row_id, {"models": models, "turn": row.get("turn")})


def _winner(row: Row, where: RowLocation) -> str:
    if row.get("winner") is not None:
        winner = row["winner"]
        if not isinstance(winner, str) or winner.strip().lower() not in WINNERS:
            remedy = "Winners are model_a, model_b, tie and tie (bothbad)."
            reject_row(where, "winner", winner, "is not a winner", remedy)
        return WINNERS[winner.strip().lower()]
    flags = {name: feedback.read_flag(row, name, where) for name in sorted(FLAGS)}
    if sum(flags.values()) != 1:
        remedy = "Exactly one of winner_model_a, winner_model_b and winner_tie must be 1."
        reject_row(where, "winner_model_a", row["winner_model_a"], "does not give one result", remedy)
    return "a" if flags["winner_model_a"] else "b" if flags["winner_model_b"] else "good"


def _conversations(row: Row, where: RowLocation) -> dict[str, Messages]:
    if row.get("conversation_a") is None and row.get("prompt") is not None:
        questions = _texts(row, "prompt", where)
        return {side: _alternate(questions, _texts(row, f"response_{side}", where)) for side in "ab"}
    num_turns = None if row.get("turn") is None else feedback.read_number(row, "turn", where)
    sides = {}
    for side in "ab":
        column = f"conversation_{side}"
        turns = chat_turns.read_conversation(required_column(row, column, where), column, where)
        answers = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
        if num_turns is not None and num_turns >= 1 and len(answers) > num_turns:
            turns = turns[: answers[int(num_turns) - 1] + 1]
        sides[side] = turns
    return sides


def _texts(row: Row, column: str, where: RowLocation) -> list[str]:
    value = feedback.from_json(required_column(row, column, where))
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        reject_row(where, column, value, "is not a list of texts", "Drop the row with --drop.")
    return texts


def _alternate(questions: list[str], answers: list[str]) -> Messages:
    turns: list[Message] = []
    for question, answer in zip(questions, answers, strict=False):
        turns += [Message("user", question), Message("assistant", answer)]
    return tuple(turns)


def _num_shared(left: Messages, right: Messages) -> int:
    """The number of first turns that both have, up to a turn of the user."""
    num = 0
    while num < min(len(left), len(right)) - 1 and left[num] == right[num]:
        num += 1
    while num and left[num - 1].role != "user":
        num -= 1
    return num


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={
        "comparison": CONVERSATIONS
        | RESPONSES
        | FLAGS
        | {"question_id", "id", "model_a", "model_b", "judge", "turn"}
    },
    # The conversations again, and notes about the session.
    metadata=frozenset({"full_conversation", "conv_metadata", "category_tag", "toxic_chat_tag"}),
)
