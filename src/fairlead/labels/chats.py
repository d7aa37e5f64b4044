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

chat_answerer = Table(
    "chat_answerer",
    metadata,
    Column("campaign_id", Integer, ForeignKey("campaign.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("source", String(200), nullable=False),
    Column("params", JSON, nullable=False),
    PrimaryKeyConstraint("campaign_id", "n"),
)
chat_turn = Table(
    "chat_turn",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(32), ForeignKey("assignment.token"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("made_at", String(27), nullable=False),
    UniqueConstraint("token", "n"),
)
chat_answer = Table(
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
chat_choice = Table(
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
MOST_TURNS = 30
MOST_ANSWERERS = 8
TIES = (4, 5)


@dataclass(frozen=True)
class Answerer:
    """`source`: `endpoint:NAME/MODEL` or `model:ARTIFACT`.  `params`: temperature and max_tokens."""

    source: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """One of the two answers of a turn."""

    place: int
    source: str
    params: Mapping[str, Any]
    text: str | None
    finished: bool | None


@dataclass(frozen=True)
class Turn:
    id: int
    n: int
    message: str
    answers: tuple[Given, Given]
    choice: int | None
    continues: int | None
    seen: Mapping[str, int]


# ---------------------------------------------------------------- who answers


def set_answerers(connection: Connection, one: Campaign, chosen: Sequence[Answerer], *, by: str) -> None:
    """From the next turn on."""
    if one.kind != "chat":
        raise Conflict("this campaign is no live chat; nobody answers in it.")
    if not 1 <= len(chosen) <= MOST_ANSWERERS:
        raise Invalid({"answerers": f"are 1 to {MOST_ANSWERERS}; with one, it answers twice"})
    connection.execute(delete(chat_answerer).where(chat_answerer.c.campaign_id == one.id))
    rows = [
        {"campaign_id": one.id, "n": n, "source": found.source, "params": dict(found.params)}
        for n, found in enumerate(chosen)
    ]
    connection.execute(insert(chat_answerer), rows)
    events.append(
        connection,
        verb="chat.answerers",
        actor=by,
        campaign=one.id,
        subject=one.slug,
        body={"count": len(chosen)},
    )


def answerers(connection: Connection, campaign_id: int) -> list[Answerer]:
    query = (
        select(chat_answerer).where(chat_answerer.c.campaign_id == campaign_id).order_by(chat_answerer.c.n)
    )
    return [Answerer(row.source, row.params) for row in connection.execute(query)]


# ---------------------------------------------------------------- a conversation


def turns(connection: Connection, token: str) -> list[Turn]:
    """Of an assignment, in order."""
    return turns_of(connection, [token])[token]


def turns_of(connection: Connection, tokens: Sequence[str]) -> dict[str, list[Turn]]:
    """Of each of these assignments, in order; a few thousand at once."""
    mine = chat_turn.c.token.in_(tokens)
    given: dict[int, list[Given]] = {}
    answers = select(chat_answer).join(chat_turn, chat_turn.c.id == chat_answer.c.turn_id).where(mine)
    for row in connection.execute(answers.order_by(chat_answer.c.turn_id, chat_answer.c.place)):
        given.setdefault(row.turn_id, []).append(
            Given(row.place, row.source, row.params, row.text, row.finished)
        )
    choices = select(chat_choice).join(chat_turn, chat_turn.c.id == chat_choice.c.turn_id).where(mine)
    last = {row.turn_id: row for row in connection.execute(choices.order_by(chat_choice.c.id))}
    found: dict[str, list[Turn]] = {token: [] for token in tokens}
    for row in connection.execute(select(chat_turn).where(mine).order_by(chat_turn.c.n)):
        found[row.token].append(_turn(row, given[row.id], last.get(row.id)))
    return found


def turn(connection: Connection, token: str, n: int) -> Turn:
    found = next((one for one in turns(connection, token) if one.n == n), None)
    if found is None:
        raise NotFound("the conversation has no such turn.")
    return found


def num_judged(connection: Connection, token: str) -> int:
    """Turns with a choice whose chosen answer is there."""
    said = turns(connection, token)
    return sum(one.continues is not None and one.answers[one.continues].text is not None for one in said)


def opening(task: Assignment) -> str:
    """What the item suggests to begin with; empty where it suggests nothing."""
    last = task.item.prompt[-1]
    return last.content if last.role == "user" else ""


def history(item: Item, said: Sequence[Turn], n: int) -> Messages:
    """What the answerers of turn n are given."""
    before = item.prompt[:-1] if item.prompt[-1].role == "user" else item.prompt
    messages = list(before)
    for one in said[:n]:
        assert one.continues is not None, "a turn without a choice is the last"
        messages += [
            Message("user", one.message),
            Message("assistant", one.answers[one.continues].text or ""),
        ]
    return (*messages, Message("user", said[n].message))


def say(connection: Connection, campaign: Campaign, task: Assignment, *, n: int, message: str) -> Turn:
    """The person's n-th message; the same again is what it was.  Raises Conflict where the turn before is not done."""
    _must_be_chat(campaign)
    storable_text.require(message=message)
    if not message.strip() or len(message) > LONGEST_MESSAGE:
        raise Invalid({"message": f"has 1 to {LONGEST_MESSAGE:,} characters"})
    said = turns(connection, task.token)
    if n < len(said):
        if said[n].message != message:
            raise Conflict("this turn was sent before, with another message.")
        return said[n]
    if n > len(said) or n >= MOST_TURNS:
        raise Conflict(
            f"the next turn is {len(said)}."
            if n > len(said)
            else f"a conversation has at most {MOST_TURNS} turns."
        )
    if said and (said[-1].continues is None or said[-1].answers[said[-1].continues].text is None):
        raise Conflict("choose an answer of the last turn first, and wait until it is complete.")
    candidates = answerers(connection, campaign.id)
    if not candidates:
        raise Conflict("nobody answers in this campaign yet; who leads it has to say who.")
    made = connection.execute(
        insert(chat_turn)
        .values(token=task.token, n=n, message=message, made_at=now())
        .returning(chat_turn.c.id)
    )
    turn_id = int(made.scalar_one())
    rng = derive_rng(0, campaign.seed, "chat", task.token, n)
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
    connection.execute(insert(chat_answer), rows)
    events.append(
        connection,
        verb="chat.turn",
        actor=task.rater,
        campaign=campaign.id,
        subject=task.token[:8],
        body={"turn": n},
    )
    return turn(connection, task.token, n)


def keep(connection: Connection, turn_id: int, place: int, *, text: str, finished: bool) -> None:
    """The complete answer, once; where another one was faster, that one stands."""
    this = (chat_answer.c.turn_id == turn_id, chat_answer.c.place == place, chat_answer.c.text.is_(None))
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    connection.execute(update(chat_answer).where(*this).values(text=text, finished=finished, made_at=now()))


def kept(connection: Connection, turn_id: int, place: int) -> tuple[str, bool | None]:
    """Of a complete answer: its text, and whether the model came to its end."""
    query = select(chat_answer.c.text, chat_answer.c.finished).where(
        chat_answer.c.turn_id == turn_id, chat_answer.c.place == place
    )
    row = connection.execute(query).one()
    return str(row.text), row.finished


def choose(
    connection: Connection,
    campaign: Campaign,
    task: Assignment,
    *,
    n: int,
    choice: int,
    seen: Mapping[str, int],
) -> Turn:
    """Also before the answers are complete, and again until the next message is sent."""
    _must_be_chat(campaign)
    said = turns(connection, task.token)
    if n >= len(said):
        raise NotFound("the conversation has no such turn.")
    if n < len(said) - 1:
        raise Conflict("the conversation has gone on from this turn.")
    if not 1 <= choice <= 8:
        raise Invalid({"choice": "is a step from 1 (A much better) to 8 (B much better); 4 and 5 are ties"})
    at_random = derive_rng(0, campaign.seed, "tie", task.token, n).randrange(2)
    continues = at_random if choice in TIES else 0 if choice < min(TIES) else 1
    values = {
        "turn_id": said[n].id,
        "choice": choice,
        "continues": continues,
        "seen": dict(seen),
        "made_at": now(),
    }
    connection.execute(insert(chat_choice).values(values))
    body = {"turn": n, "choice": choice, "item": task.item.id}
    events.append(
        connection,
        verb="chat.choice",
        actor=task.rater,
        campaign=campaign.id,
        subject=task.token[:8],
        body=body,
    )
    return turn(connection, task.token, n)


def rows(item: Item, said: Sequence[Turn]) -> list[dict[str, Any]]:
    """What a snapshot takes: one comparison for each turn with a choice and both answers."""
    found = []
    for one in said:
        if one.choice is None or any(answer.text is None for answer in one.answers):
            continue
        prompt = [asdict(message) for message in history(item, said, one.n)]
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


def _must_be_chat(campaign: Campaign) -> None:
    if campaign.kind != "chat":
        raise Conflict("this campaign is no live chat.")


def _turn(row: Any, given: Sequence[Given], choice: Any) -> Turn:
    first, second = given
    chosen = (choice.choice, choice.continues, choice.seen) if choice else (None, None, {})
    return Turn(row.id, row.n, row.message, (first, second), *chosen)
