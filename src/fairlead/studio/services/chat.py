"""Live chat: send a message, read both answers, choose the better answer.

Nothing that a labeller receives says which model gave an answer.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from fairlead.data.records import Messages
from fairlead.labels import assignments, chats, task_kinds
from fairlead.labels.chats import LONGEST_MESSAGE, MAX_TURNS, ChatTurn
from fairlead.labels.errors import Conflict, NotFound
from fairlead.studio.auth import Viewer
from fairlead.studio.services.rendering import RenderedText, render_text
from fairlead.studio.state import Database

MAX_SEEN = 10_000_000  # characters


class ChatAnswerOut(BaseModel):
    letter: str
    answer: RenderedText | None  # null until the answer is complete
    cut: bool  # the model stopped before the end of its answer


class ChatTurnOut(BaseModel):
    n: int
    message: RenderedText
    answers: list[ChatAnswerOut]
    choice: int | None  # 1 (A much better) to 8 (B much better)
    continues: str | None  # letter of the answer that the conversation continues from


class ConversationOut(BaseModel):
    opening: str  # the suggested first message
    turns: list[ChatTurnOut]
    most_turns: int


class MessageBody(BaseModel):
    n: Annotated[int, Field(ge=0, lt=MAX_TURNS)]
    message: Annotated[str, Field(min_length=1, max_length=LONGEST_MESSAGE)]


class ChoiceBody(BaseModel):
    choice: Annotated[int, Field(ge=1, le=8)]
    # Characters of each answer that were on screen when the labeller chose.
    seen: dict[Annotated[str, Field(pattern="^[AB]$")], Annotated[int, Field(ge=0, le=MAX_SEEN)]] = {}


def get_conversation(database: Database, viewer: Viewer, assignment_id: str) -> ConversationOut:
    with database.read() as connection:
        assignment = assignments.get(connection, assignment_id, viewer.rater, campaign_id=viewer.campaign.id)
        turns = chats.list_turns(connection, assignment_id)
    return ConversationOut(
        opening=chats.opening(assignment), turns=[_turn_out(turn) for turn in turns], most_turns=MAX_TURNS
    )


def send_message(database: Database, viewer: Viewer, assignment_id: str, body: MessageBody) -> ChatTurnOut:
    """Sending the same message twice stores it once.  Raises Conflict when the lease has ended."""
    with database.write() as connection:
        assignment = assignments.get(
            connection, assignment_id, viewer.rater, campaign_id=viewer.campaign.id, lock=True
        )
        if assignment.how is not None:
            raise Conflict("the time for this item is over.")
        return _turn_out(
            chats.send_message(connection, viewer.campaign, assignment, n=body.n, message=body.message)
        )


def get_turn(database: Database, viewer: Viewer, assignment_id: str, n: int) -> tuple[ChatTurn, Messages]:
    """A turn, and the conversation that its answers reply to."""
    with database.read() as connection:
        assignment = assignments.get(connection, assignment_id, viewer.rater, campaign_id=viewer.campaign.id)
        turns = chats.list_turns(connection, assignment_id)
        if n >= len(turns):
            raise NotFound(chats.NO_TURN)
        return turns[n], chats.history(assignment.item, turns, n)


def choose_answer(
    database: Database, viewer: Viewer, assignment_id: str, n: int, body: ChoiceBody
) -> ChatTurnOut:
    with database.write() as connection:
        assignment = assignments.get(
            connection, assignment_id, viewer.rater, campaign_id=viewer.campaign.id, lock=True
        )
        return _turn_out(
            chats.choose_answer(
                connection, viewer.campaign, assignment, n=n, choice=body.choice, seen=body.seen
            )
        )


def _turn_out(turn: ChatTurn) -> ChatTurnOut:
    # Which answer was complete first tells how fast the models are: the stream shows both in step.
    is_complete = all(answer.text is not None for answer in turn.answers)
    answers = [
        ChatAnswerOut(
            letter=task_kinds.letter(answer.place),
            answer=render_text(answer.text) if is_complete and answer.text is not None else None,
            cut=is_complete and answer.finished is False,
        )
        for answer in turn.answers
    ]
    return ChatTurnOut(
        n=turn.n,
        message=render_text(turn.message),
        answers=answers,
        choice=turn.choice,
        continues=None if turn.continues is None else task_kinds.letter(turn.continues),
    )
