"""API routes of live chat: messages, streamed answers and choices for labellers; answerers for leads."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from fairlead.labels.chats import MAX_TURNS
from fairlead.studio import chat_streams
from fairlead.studio.access_control import Labeller, Lead
from fairlead.studio.api.labelling import CAMPAIGN, TASK, Token
from fairlead.studio.services import answerers, chat
from fairlead.studio.services.answerers import AnswerersBody, AnswerersOut
from fairlead.studio.services.chat import ChatTurnOut, ChoiceBody, ConversationOut, MessageBody
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["live chat"])

CHAT = TASK + "/chat"
TurnNumber = Annotated[int, Path(ge=0, lt=MAX_TURNS, description="Number of the turn, from 0.")]


@router.get(CHAT, name="conversation")
def get_conversation(slug: str, token: Token, viewer: Labeller, database: Database) -> ConversationOut:
    """The conversation so far."""
    return chat.get_conversation(database, viewer, token)


@router.post(CHAT + "/turns", name="say")
def send_message(
    slug: str, token: Token, body: MessageBody, viewer: Labeller, database: Database
) -> ChatTurnOut:
    """Send the next message.

    The turn's stream returns the answers.  Sending the message twice stores it once.
    """
    return chat.send_message(database, viewer, token, body)


@router.get(
    CHAT + "/turns/{n}/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Both answers, piece by piece.",
        }
    },
)
async def stream(
    request: Request, slug: str, token: Token, n: TurnNumber, viewer: Labeller, database: Database
) -> StreamingResponse:
    """Stream both answers as server-sent events.

    `{"letter", "more"}` is a piece of text.  `{"letter", "html", "text", "dir", "cut"}` is a complete
    answer, and `{"letter", "failed"}` an answer that could not be generated.  `{"end"}` is the last event.
    Opening the stream again retries failed answers.
    """
    turn, messages = await run_in_threadpool(chat.get_turn, database, viewer, token, n)
    streams: chat_streams.ChatStreams = request.app.state.chat_streams
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(streams.stream(turn, messages), media_type="text/event-stream", headers=headers)


@router.put(CHAT + "/turns/{n}/choice", name="choose")
def choose_answer(
    slug: str, token: Token, n: TurnNumber, body: ChoiceBody, viewer: Labeller, database: Database
) -> ChatTurnOut:
    """Choose the better answer.

    The choice may come before the answers are complete, and change until the next message.
    """
    return chat.choose_answer(database, viewer, token, n, body)


@router.get(CAMPAIGN + "/answerers", name="who_answers")
def get_answerers(slug: str, viewer: Lead, database: Database, settings: Configured) -> AnswerersOut:
    """The answerers of the campaign, and the endpoints and models that are available."""
    return answerers.get_answerers(database, settings, viewer.campaign)


@router.put(CAMPAIGN + "/answerers", name="set_who_answers")
def set_answerers(
    slug: str, body: AnswerersBody, viewer: Lead, database: Database, settings: Configured
) -> AnswerersOut:
    """Set the answerers.

    Two of them, drawn at random, answer each message; a single answerer answers twice.
    """
    answerers.set_answerers(database, settings, viewer, body.answerers, version=body.version)
    return answerers.get_answerers(database, settings, viewer.campaign)
