"""Live chat: what the person says, the two answers as they come, which is better; and who answers, for leads.

Nothing that a labeller gets says which model gave an answer.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from fairlead.data.records import Messages
from fairlead.labels import assignments, chats, task_kinds
from fairlead.labels.chats import LONGEST_MESSAGE, MAX_ANSWERERS, MAX_TURNS, Answerer, ChatTurn
from fairlead.labels.errors import Conflict, NotFound
from fairlead.studio import chat_backends, chat_streams, render
from fairlead.studio.api.labelling import Direction, Token
from fairlead.studio.permissions import Labeller, Lead
from fairlead.studio.settings import Settings
from fairlead.studio.state import Configured, Database

router = APIRouter(tags=["live chat"])

HERE = "/campaigns/{slug}"
TASK = HERE + "/tasks/{token}/chat"
Number = Annotated[int, Path(ge=0, lt=MAX_TURNS, description="Of a turn, from 0.")]
SEEN = 10_000_000
NOBODY = "nobody answers in this live chat yet; choose who does before it is opened."


class Said(BaseModel):
    html: str
    text: str
    dir: Direction


class LiveAnswer(BaseModel):
    letter: str
    answer: Said | None  # none until it is complete
    cut: bool  # the model did not come to its end


class LiveTurn(BaseModel):
    n: int
    message: Said
    answers: list[LiveAnswer]
    choice: int | None  # 1 (A much better) to 8 (B much better)
    continues: str | None  # letter of the answer from which the conversation goes on


class Talk(BaseModel):
    opening: str  # a first message that is suggested
    turns: list[LiveTurn]
    most_turns: int


class SayBody(BaseModel):
    n: Annotated[int, Field(ge=0, lt=MAX_TURNS)]
    message: Annotated[str, Field(min_length=1, max_length=LONGEST_MESSAGE)]


class ChoiceBody(BaseModel):
    choice: Annotated[int, Field(ge=1, le=8)]
    seen: dict[
        Annotated[str, Field(pattern="^[AB]$")], Annotated[int, Field(ge=0, le=SEEN)]
    ] = {}  # characters on the screen by then


class AnswererBody(BaseModel):
    source: Annotated[str, Field(max_length=200, description="endpoint:NAME/MODEL or model:ARTIFACT")]
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 512


class AnswerersBody(BaseModel):
    answerers: Annotated[list[AnswererBody], Field(min_length=1, max_length=MAX_ANSWERERS)]


class Answering(BaseModel):
    answerers: list[AnswererBody]
    endpoints: list[str]  # that could be named
    models: list[str]


@router.get(TASK)
def conversation(slug: str, token: Token, viewer: Labeller, database: Database) -> Talk:
    with database.read() as connection:
        task = assignments.get(connection, token, viewer.rater, campaign_id=viewer.campaign.id)
        said = chats.list_turns(connection, token)
    return Talk(opening=chats.opening(task), turns=[_turn(one) for one in said], most_turns=MAX_TURNS)


@router.post(TASK + "/turns")
def say(slug: str, token: Token, body: SayBody, viewer: Labeller, database: Database) -> LiveTurn:
    """The next message; the answers come with the turn's stream.  Sending it twice is sending it once."""
    with database.write() as connection:
        task = assignments.get(connection, token, viewer.rater, campaign_id=viewer.campaign.id, lock=True)
        if task.how is not None:
            raise Conflict("this task is not held any more.")
        return _turn(chats.send_message(connection, viewer.campaign, task, n=body.n, message=body.message))


@router.get(
    TASK + "/turns/{n}/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Both answers as they come.",
        }
    },
)
async def stream(
    request: Request, slug: str, token: Token, n: Number, viewer: Labeller, database: Database
) -> StreamingResponse:
    """`{"letter", "more"}` for a piece of text; `{"letter", "html", "text", "dir", "cut"}` when it is complete, or `{"letter", "failed"}`
    when it could not be had; and `{"end"}`.  Asking again tries again for what has failed.
    """

    def found() -> tuple[ChatTurn, Messages]:
        with database.read() as connection:
            task = assignments.get(connection, token, viewer.rater, campaign_id=viewer.campaign.id)
            said = chats.list_turns(connection, token)
            if n >= len(said):
                raise NotFound("the conversation has no such turn.")
            return said[n], chats.history(task.item, said, n)

    turn, messages = await run_in_threadpool(found)
    live: chat_streams.Talks = request.app.state.talks
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(live.stream(turn, messages), media_type="text/event-stream", headers=headers)


@router.put(TASK + "/turns/{n}/choice")
def choose(
    slug: str, token: Token, n: Number, body: ChoiceBody, viewer: Labeller, database: Database
) -> LiveTurn:
    """Which answer is better; also before they are complete, and again until the next message."""
    with database.write() as connection:
        task = assignments.get(connection, token, viewer.rater, campaign_id=viewer.campaign.id, lock=True)
        return _turn(
            chats.choose_answer(connection, viewer.campaign, task, n=n, choice=body.choice, seen=body.seen)
        )


@router.get(HERE + "/answerers")
def who_answers(slug: str, viewer: Lead, database: Database, settings: Configured) -> Answering:
    with database.read() as connection:
        chosen = chats.list_answerers(connection, viewer.campaign.id)
    endpoints, models = chat_backends.available(settings.project)
    bodies = [AnswererBody.model_validate({"source": one.source, **one.params}) for one in chosen]
    return Answering(answerers=bodies, endpoints=endpoints, models=models)


@router.put(HERE + "/answerers")
def set_who_answers(
    slug: str, body: AnswerersBody, viewer: Lead, database: Database, settings: Configured
) -> Answering:
    """Two of them, drawn at random, answer each message; a single one answers twice."""
    chosen = checked(body.answerers, settings)
    with database.write() as connection:
        chats.set_answerers(connection, viewer.campaign, chosen, by=viewer.rater)
    return who_answers(slug, viewer, database, settings)


def checked(bodies: list[AnswererBody], settings: Settings) -> list[Answerer]:
    for one in bodies:
        chat_backends.check_source(settings.project, one.source)
    return [
        Answerer(one.source, {"temperature": one.temperature, "max_tokens": one.max_tokens}) for one in bodies
    ]


# ---------------------------------------------------------------- as people see it


def _turn(one: ChatTurn) -> LiveTurn:
    answers = [
        LiveAnswer(
            letter=task_kinds.letter(given.place),
            answer=None if given.text is None else _said(given.text),
            cut=given.finished is False,
        )
        for given in one.answers
    ]
    continues = None if one.continues is None else task_kinds.letter(one.continues)
    return LiveTurn(
        n=one.n, message=_said(one.message), answers=answers, choice=one.choice, continues=continues
    )


def _said(text: str) -> Said:
    shown: dict[str, Any] = {"html": str(render.render(text)), "text": text, "dir": render.direction(text)}
    return Said(**shown)
