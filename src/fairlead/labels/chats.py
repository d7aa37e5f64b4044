"""Live chat: a person writes, two answerers answer side by side, the person chooses, and the conversation goes on from the chosen answer.

    answerers   who answers in a campaign; for leads' eyes only
    turn        a message of the person's, the n-th of an assignment
    answer      one of the turn's two: 0 is shown as A, 1 as B; `source` says who gave it and is never shown to who judges
    choice      which was better, 1 (A much better) to 8 (B much better) as in `kinds`; the last one of a turn counts

An answer's text is written once, when it is complete.  After a tie the conversation goes on from one of the two at random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from fairlead.data.records import Message, Messages
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
    Column("text", Text),  # none until it is complete
    Column("finished", Boolean),  # false: the model was cut off
    Column("made_at", String(27)),
    PrimaryKeyConstraint("turn_id", "place"),
)
chat_choice_table = Table(
    "chat_choice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("turn_id", Integer, ForeignKey("chat_turn.id"), nullable=False, index=True),
    Column("choice", Integer, nullable=False),
    Column("continues", Integer, nullable=False),  # place of the answer from which it goes on
    Column("seen", JSON, nullable=False),  # characters of each that were on the screen
    Column("made_at", String(27), nullable=False),
)

LONGEST_MESSAGE = 20_000  # characters
MAX_TURNS = 30
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


# ---------------------------------------------------------------- who answers


def set_answerers(connection: Connection, campaign: Campaign, chosen: Sequence[Answerer], *, by: str) -> None:
    """From the next turn on."""
    if campaign.kind != "chat":
        raise Conflict("this campaign is no live chat; nobody answers in it.")
    if not 1 <= len(chosen) <= MAX_ANSWERERS:
        raise Invalid({"answerers": f"are 1 to {MAX_ANSWERERS}; with one, it answers twice"})
    connection.execute(delete(chat_answerer_table).where(chat_answerer_table.c.campaign_id == campaign.id))
    rows = [
        {"campaign_id": campaign.id, "n": n, "source": found.source, "params": dict(found.params)}
        for n, found in enumerate(chosen)
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


# ---------------------------------------------------------------- a conversation


def list_turns(connection: Connection, assignment_id: str) -> list[ChatTurn]:
    """Of an assignment, in order."""
    return list_turns_by_assignment(connection, [assignment_id])[assignment_id]


def list_turns_by_assignment(
    connection: Connection, assignment_ids: Sequence[str]
) -> dict[str, list[ChatTurn]]:
    """Of each of these assignments, in order; a few thousand at once."""
    mine = chat_turn_table.c.token.in_(assignment_ids)
    given: dict[int, list[ChatAnswer]] = {}
    answers = (
        select(chat_answer_table)
        .join(chat_turn_table, chat_turn_table.c.id == chat_answer_table.c.turn_id)
        .where(mine)
    )
    for row in connection.execute(answers.order_by(chat_answer_table.c.turn_id, chat_answer_table.c.place)):
        given.setdefault(row.turn_id, []).append(
            ChatAnswer(row.place, row.source, row.params, row.text, row.finished)
        )
    choices = (
        select(chat_choice_table)
        .join(chat_turn_table, chat_turn_table.c.id == chat_choice_table.c.turn_id)
        .where(mine)
    )
    last = {row.turn_id: row for row in connection.execute(choices.order_by(chat_choice_table.c.id))}
    found: dict[str, list[ChatTurn]] = {token: [] for token in assignment_ids}
    for row in connection.execute(select(chat_turn_table).where(mine).order_by(chat_turn_table.c.n)):
        found[row.token].append(_turn_from_rows(row, given[row.id], last.get(row.id)))
    return found


def get_turn(connection: Connection, assignment_id: str, n: int) -> ChatTurn:
    found = next((one for one in list_turns(connection, assignment_id) if one.n == n), None)
    if found is None:
        raise NotFound("the conversation has no such turn.")
    return found


def count_judged_turns(connection: Connection, assignment_id: str) -> int:
    """Turns with a choice whose chosen answer is there."""
    said = list_turns(connection, assignment_id)
    return sum(one.continues is not None and one.answers[one.continues].text is not None for one in said)


def opening(assignment: Assignment) -> str:
    """What the item suggests to begin with; empty where it suggests nothing."""
    last = assignment.item.prompt[-1]
    return last.content if last.role == "user" else ""


def history(item: Item, turns: Sequence[ChatTurn], n: int) -> Messages:
    """What the answerers of turn n are given."""
    before = item.prompt[:-1] if item.prompt[-1].role == "user" else item.prompt
    messages = list(before)
    for one in turns[:n]:
        assert one.continues is not None, "a turn without a choice is the last"
        messages += [
            Message("user", one.message),
            Message("assistant", one.answers[one.continues].text or ""),
        ]
    return (*messages, Message("user", turns[n].message))


def send_message(
    connection: Connection, campaign: Campaign, assignment: Assignment, *, n: int, message: str
) -> ChatTurn:
    """The person's n-th message; the same again is what it was.  Raises Conflict where the turn before is not done."""
    _require_chat(campaign)
    storable_text.require(message=message)
    if not message.strip() or len(message) > LONGEST_MESSAGE:
        raise Invalid({"message": f"has 1 to {LONGEST_MESSAGE:,} characters"})
    said = list_turns(connection, assignment.id)
    if n < len(said):
        if said[n].message != message:
            raise Conflict("this turn was sent before, with another message.")
        return said[n]
    if n > len(said) or n >= MAX_TURNS:
        raise Conflict(
            f"the next turn is {len(said)}."
            if n > len(said)
            else f"a conversation has at most {MAX_TURNS} turns."
        )
    if said and (said[-1].continues is None or said[-1].answers[said[-1].continues].text is None):
        raise Conflict("choose an answer of the last turn first, and wait until it is complete.")
    candidates = list_answerers(connection, campaign.id)
    if not candidates:
        raise Conflict("nobody answers in this campaign yet; who leads it has to say who.")
    made = connection.execute(
        insert(chat_turn_table)
        .values(token=assignment.id, n=n, message=message, made_at=now())
        .returning(chat_turn_table.c.id)
    )
    turn_id = int(made.scalar_one())
    rng = derive_rng(0, campaign.seed, "chat", assignment.id, n)
    pair = rng.sample(candidates, 2) if len(candidates) > 1 else candidates * 2
    rows = [
        {
            "turn_id": turn_id,
            "place": place,
            "source": who.source,
            "params": {**who.params, "seed": rng.randrange(1 << 31)},
        }
        for place, who in enumerate(pair)
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
    """The complete answer, once; where another one was faster, that one stands."""
    this = (
        chat_answer_table.c.turn_id == turn_id,
        chat_answer_table.c.place == place,
        chat_answer_table.c.text.is_(None),
    )
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    connection.execute(
        update(chat_answer_table).where(*this).values(text=text, finished=finished, made_at=now())
    )


def get_stored_answer(connection: Connection, turn_id: int, place: int) -> tuple[str, bool | None]:
    """Of a complete answer: its text, and whether the model came to its end."""
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
    """Also before the answers are complete, and again until the next message is sent."""
    _require_chat(campaign)
    said = list_turns(connection, assignment.id)
    if n >= len(said):
        raise NotFound("the conversation has no such turn.")
    if n < len(said) - 1:
        raise Conflict("the conversation has gone on from this turn.")
    if not 1 <= choice <= 8:
        raise Invalid({"choice": "is a step from 1 (A much better) to 8 (B much better); 4 and 5 are ties"})
    at_random = derive_rng(0, campaign.seed, "tie", assignment.id, n).randrange(2)
    continues = at_random if choice in TIE_CHOICES else 0 if choice < min(TIE_CHOICES) else 1
    values = {
        "turn_id": said[n].id,
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
    """What a snapshot takes: one comparison for each turn with a choice and both answers."""
    found = []
    for one in turns:
        if one.choice is None or any(answer.text is None for answer in one.answers):
            continue
        prompt = [asdict(message) for message in history(item, turns, one.n)]
        answers = [
            {"text": answer.text, "source": answer.source, "params": dict(answer.params)}
            for answer in one.answers
        ]
        found.append(
            {
                "prompt": prompt,
                "answers": answers,
                "choice": one.choice,
                "continues": one.continues,
                "seen": dict(one.seen),
            }
        )
    return found


def _require_chat(campaign: Campaign) -> None:
    if campaign.kind != "chat":
        raise Conflict("this campaign is no live chat.")


def _turn_from_rows(row: Any, given: Sequence[ChatAnswer], choice: Any) -> ChatTurn:
    first, second = given
    chosen = (choice.choice, choice.continues, choice.seen) if choice else (None, None, {})
    return ChatTurn(row.id, row.n, row.message, (first, second), *chosen)
