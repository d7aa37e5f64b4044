"""Live chat: the rater writes, two models answer, and the conversation continues from the preferred answer.

    answerer   a model that answers in a campaign; only leads see which
    turn       the n-th message of the rater in an assignment
    answer     one of the two answers of a turn: place 0 is shown as A, 1 as B; raters never see `source`
    choice     1 (A much better) to 8 (B much better), as in `task_kinds`; the last choice of a turn counts

The text of an answer is stored once, when it is complete.  After a tie, the conversation continues from a
random one of the two answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)

from fairlead.core.seed import derive_rng
from fairlead.data.records import Message, Messages, message_to_json
from fairlead.labels import events, storable_text
from fairlead.labels.assignments import Assignment
from fairlead.labels.campaigns import Campaign
from fairlead.labels.database import metadata, now
from fairlead.labels.errors import Conflict, Invalid, NotFound
from fairlead.labels.items import Item

chat_answerer_table = Table(
    "chat_answerer",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("source", String(200), nullable=False),
    Column("params", JSON, nullable=False),
    PrimaryKeyConstraint("campaign_id", "n"),
)
chat_turn_table = Table(
    "chat_turn",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(32), ForeignKey("assignment.token"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("made_at", String(27), nullable=False),
    UniqueConstraint("token", "n"),
)
chat_answer_table = Table(
    "chat_answer",
    metadata,
    Column("turn_id", Integer, ForeignKey("chat_turn.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("source", String(200), nullable=False),
    Column("params", JSON, nullable=False),
    Column("text", Text),  # null until the answer is complete
    Column("finished", Boolean),  # false when the model reached its token limit
    Column("made_at", String(27)),
    PrimaryKeyConstraint("turn_id", "place"),
)
chat_choice_table = Table(
    "chat_choice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("turn_id", Integer, ForeignKey("chat_turn.id"), nullable=False, index=True),
    Column("choice", Integer, nullable=False),
    Column("continues", Integer, nullable=False),  # place of the answer that the conversation continues from
    Column("seen", JSON, nullable=False),  # characters of each answer that were visible
    Column("made_at", String(27), nullable=False),
)

LONGEST_MESSAGE = 20_000  # characters
MAX_TURNS = 30
NO_TURN = "The conversation has no such turn. Reload the page."
MAX_ANSWERERS = 8
TIE_CHOICES = (4, 5)


@dataclass(frozen=True)
class Answerer:
    """`source`: `endpoint:NAME/MODEL` or `model:ARTIFACT`.  `params`: temperature and max_tokens."""

    source: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class ChatAnswer:
    """One of the two answers of a turn."""

    place: int
    source: str
    params: Mapping[str, Any]
    text: str | None
    finished: bool | None


@dataclass(frozen=True)
class ChatTurn:
    id: int
    n: int
    message: str
    answers: tuple[ChatAnswer, ChatAnswer]
    choice: int | None
    continues: int | None
    seen: Mapping[str, int]


# ---------------------------------------------------------------- answerers


def set_answerers(connection: Connection, campaign: Campaign, chosen: Sequence[Answerer], *, by: str) -> None:
    """Replace the answerers of a campaign, from the next turn on."""
    if campaign.kind != "chat":
        raise Conflict("This campaign is not a live chat. Only a live chat has models that reply.")
    if not 1 <= len(chosen) <= MAX_ANSWERERS:
        raise Invalid({"answerers": f"must be 1 to {MAX_ANSWERERS} models; a single model answers twice"})
    connection.execute(delete(chat_answerer_table).where(chat_answerer_table.c.campaign_id == campaign.id))
    rows = [
        {"campaign_id": campaign.id, "n": n, "source": answerer.source, "params": dict(answerer.params)}
        for n, answerer in enumerate(chosen)
    ]
    connection.execute(insert(chat_answerer_table), rows)
    events.append(
        connection,
        verb="chat.answerers",
        actor=by,
        campaign_id=campaign.id,
        subject=campaign.slug,
        body={"count": len(chosen)},
    )


def list_answerers(connection: Connection, campaign_id: int) -> list[Answerer]:
    query = (
        select(chat_answerer_table)
        .where(chat_answerer_table.c.campaign_id == campaign_id)
        .order_by(chat_answerer_table.c.n)
    )
    return [Answerer(row.source, row.params) for row in connection.execute(query)]


# ---------------------------------------------------------------- conversations


def list_turns(connection: Connection, assignment_id: str) -> list[ChatTurn]:
    """The turns of an assignment, in order."""
    return list_turns_by_assignment(connection, [assignment_id])[assignment_id]


def list_turns_by_assignment(
    connection: Connection, assignment_ids: Sequence[str]
) -> dict[str, list[ChatTurn]]:
    """The turns of each assignment, in order.  Pass a few thousand assignments at most."""
    of_assignments = chat_turn_table.c.token.in_(assignment_ids)
    answers_by_turn: dict[int, list[ChatAnswer]] = {}
    answers = (
        select(chat_answer_table)
        .join(chat_turn_table, chat_turn_table.c.id == chat_answer_table.c.turn_id)
        .where(of_assignments)
    )
    for row in connection.execute(answers.order_by(chat_answer_table.c.turn_id, chat_answer_table.c.place)):
        answers_by_turn.setdefault(row.turn_id, []).append(
            ChatAnswer(row.place, row.source, row.params, row.text, row.finished)
        )
    choices = (
        select(chat_choice_table)
        .join(chat_turn_table, chat_turn_table.c.id == chat_choice_table.c.turn_id)
        .where(of_assignments)
    )
    last = {row.turn_id: row for row in connection.execute(choices.order_by(chat_choice_table.c.id))}
    turns: dict[str, list[ChatTurn]] = {assignment_id: [] for assignment_id in assignment_ids}
    for row in connection.execute(
        select(chat_turn_table).where(of_assignments).order_by(chat_turn_table.c.n)
    ):
        turns[row.token].append(_turn_from_rows(row, answers_by_turn[row.id], last.get(row.id)))
    return turns


def get_turn(connection: Connection, assignment_id: str, n: int) -> ChatTurn:
    turns = list_turns(connection, assignment_id)
    turn = next((turn for turn in turns if turn.n == n), None)
    if turn is None:
        raise NotFound(NO_TURN)
    return turn


def count_judged_turns(connection: Connection, assignment_id: str) -> int:
    """Number of turns with a choice and a complete chosen answer."""
    return sum(_is_judged(turn) for turn in list_turns(connection, assignment_id))


def opening(assignment: Assignment) -> str:
    """The first message that the item suggests; empty for none."""
    last = assignment.item.prompt[-1]
    return last.content if last.role == "user" else ""


def history(item: Item, turns: Sequence[ChatTurn], n: int) -> Messages:
    """The messages that the models answer in turn n."""
    before = item.prompt[:-1] if item.prompt[-1].role == "user" else item.prompt
    messages = list(before)
    for turn in turns[:n]:
        assert turn.continues is not None, "only the last turn may lack a choice"
        messages += [
            Message("user", turn.message),
            Message("assistant", turn.answers[turn.continues].text or ""),
        ]
    return (*messages, Message("user", turns[n].message))


def send_message(
    connection: Connection, campaign: Campaign, assignment: Assignment, *, n: int, message: str
) -> ChatTurn:
    """Add the rater's n-th message.  Sending the same message again returns the stored turn.

    Raises Conflict when the previous turn is not judged, or when the conversation has the maximum length.
    """
    _require_chat(campaign)
    storable_text.require(message=message)
    if not message.strip() or len(message) > LONGEST_MESSAGE:
        raise Invalid({"message": f"must have 1 to {LONGEST_MESSAGE:,} characters"})
    turns = list_turns(connection, assignment.id)
    if n < len(turns):
        if turns[n].message != message:
            raise Conflict("This turn was already sent with another message. Reload the page.")
        return turns[n]
    if n > len(turns):
        raise Conflict(f"The next turn is {len(turns)}. Reload the page.")
    if n >= MAX_TURNS:
        raise Conflict(f"A conversation has at most {MAX_TURNS} turns. Submit your judgement.")
    if turns and not _is_judged(turns[-1]):
        raise Conflict("Choose an answer of the last turn first, and wait until the answer is complete.")
    candidates = list_answerers(connection, campaign.id)
    if not candidates:
        raise Conflict("No model answers in this campaign yet. Ask a lead to choose one.")
    inserted = connection.execute(
        insert(chat_turn_table)
        .values(token=assignment.id, n=n, message=message, made_at=now())
        .returning(chat_turn_table.c.id)
    )
    turn_id = int(inserted.scalar_one())
    rng = derive_rng(0, campaign.seed, "chat", assignment.id, n)
    pair = rng.sample(candidates, 2) if len(candidates) > 1 else candidates * 2
    rows = [
        {
            "turn_id": turn_id,
            "place": place,
            "source": answerer.source,
            "params": {**answerer.params, "seed": rng.randrange(1 << 31)},
        }
        for place, answerer in enumerate(pair)
    ]
    connection.execute(insert(chat_answer_table), rows)
    events.append(
        connection,
        verb="chat.turn",
        actor=assignment.rater,
        campaign_id=campaign.id,
        subject=assignment.id[:8],
        body={"turn": n},
    )
    return get_turn(connection, assignment.id, n)


def store_answer(connection: Connection, turn_id: int, place: int, *, text: str, finished: bool) -> None:
    """Store a complete answer.  Keeps the stored text if another request was faster."""
    is_missing = (
        chat_answer_table.c.turn_id == turn_id,
        chat_answer_table.c.place == place,
        chat_answer_table.c.text.is_(None),
    )
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    connection.execute(
        update(chat_answer_table).where(*is_missing).values(text=text, finished=finished, made_at=now())
    )


def get_stored_answer(connection: Connection, turn_id: int, place: int) -> tuple[str, bool | None]:
    """The text of a complete answer, and whether the model finished it."""
    query = select(chat_answer_table.c.text, chat_answer_table.c.finished).where(
        chat_answer_table.c.turn_id == turn_id, chat_answer_table.c.place == place
    )
    row = connection.execute(query).one()
    return str(row.text), row.finished


def choose_answer(
    connection: Connection,
    campaign: Campaign,
    assignment: Assignment,
    *,
    n: int,
    choice: int,
    seen: Mapping[str, int],
) -> ChatTurn:
    """Store which answer is better.

    A choice may be made before the answers are complete, and changed until the next message is sent.
    """
    _require_chat(campaign)
    turns = list_turns(connection, assignment.id)
    if n >= len(turns):
        raise NotFound(NO_TURN)
    if n < len(turns) - 1:
        raise Conflict("A later message was already sent. Judge the last turn.")
    if not 1 <= choice <= 8:
        raise Invalid({"choice": "must be 1 (A much better) to 8 (B much better); 4 and 5 are ties"})
    at_random = derive_rng(0, campaign.seed, "tie", assignment.id, n).randrange(2)
    if choice in TIE_CHOICES:
        continues = at_random
    else:
        continues = 0 if choice < min(TIE_CHOICES) else 1
    values = {
        "turn_id": turns[n].id,
        "choice": choice,
        "continues": continues,
        "seen": dict(seen),
        "made_at": now(),
    }
    connection.execute(insert(chat_choice_table).values(values))
    body = {"turn": n, "choice": choice, "item": assignment.item.id}
    events.append(
        connection,
        verb="chat.choice",
        actor=assignment.rater,
        campaign_id=campaign.id,
        subject=assignment.id[:8],
        body=body,
    )
    return get_turn(connection, assignment.id, n)


def comparison_turns(item: Item, turns: Sequence[ChatTurn]) -> list[dict[str, Any]]:
    """The comparisons for a snapshot: one per turn with a choice and two complete answers."""
    comparisons = []
    for turn in turns:
        if turn.choice is None or any(answer.text is None for answer in turn.answers):
            continue
        prompt = [message_to_json(message) for message in history(item, turns, turn.n)]
        answers = [
            {"text": answer.text, "source": answer.source, "params": dict(answer.params)}
            for answer in turn.answers
        ]
        comparisons.append(
            {
                "prompt": prompt,
                "answers": answers,
                "choice": turn.choice,
                "continues": turn.continues,
                "seen": dict(turn.seen),
            }
        )
    return comparisons


def _is_judged(turn: ChatTurn) -> bool:
    """Whether the turn has a choice and the chosen answer is complete."""
    return turn.continues is not None and turn.answers[turn.continues].text is not None


def _require_chat(campaign: Campaign) -> None:
    if campaign.kind != "chat":
        raise Conflict("This campaign is not a live chat.")


def _turn_from_rows(row: Any, given: Sequence[ChatAnswer], choice: Any) -> ChatTurn:
    first, second = given
    chosen = (choice.choice, choice.continues, choice.seen) if choice else (None, None, {})
    return ChatTurn(row.id, row.n, row.message, (first, second), *chosen)
